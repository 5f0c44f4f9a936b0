"""What a set of cells is: where its counts are, whose genes, which labels, what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pancyte.corpus import naming
from pancyte.corpus.counts import Located, counts_of, features_of, locate, matrix_at
from pancyte.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["Findings", "counts_of", "inspect", "require_cells", "require_upright", "species_of"]

SCHEMA = 1
_LABELS = (
    "celltype", "cellontologyclass", "cellsubtype", "celllabel", "celllabels", "annotation",
    "annotations", "label", "labels", "zone", "authorcelltype", "bulklabels", "curatedannotation",
)  # fmt: skip
_BATCHES = (
    "study", "dataset", "datasetname", "batch", "donor", "donorid", "patient", "patientid",
    "individual", "subject", "sample", "sampleid", "library", "libraryid", "technology",
    "platform", "assay", "suspensiontype", "plate", "lane", "origident", "condition",
)  # fmt: skip
_ORGANISM_COLUMNS = ("organism", "species", "organism_ontology_term_id")


@dataclass(frozen=True)
class Findings:
    """What `inspect` found out about an AnnData.

    Attributes
    ----------
    cells, genes
        Shape of the matrix that holds the counts, or else of X.
    species
        Common name, ``"mixed"`` or ``"unknown"``.
    naming
        What the features' index holds: ``"ensembl"``, ``"symbol"`` or ``"numeric"``.
    other_names
        Columns of ``var`` with the features' other names.
    counts_in
        ``"X"``, ``"layers['counts']"``, ``"raw"`` or None.
    values
        What the numbers are, in words.
    target_sum
        Total per cell before the logarithm, if normalised to one.
    labels, batches
        Columns of ``obs`` that look like cell types, and like technical or biological batches.
    empty_cells, duplicate_genes, duplicate_cells
        How many.
    notices
        What a user should know, one sentence each.
    """

    cells: int
    genes: int
    species: str
    naming: str
    other_names: dict[str, str]
    counts_in: str | None
    values: str
    target_sum: float | None
    labels: tuple[str, ...]
    batches: tuple[str, ...]
    empty_cells: int
    duplicate_genes: int
    duplicate_cells: int
    notices: tuple[str, ...]

    def line(self) -> str:
        """Say it in one line."""
        names = {"ensembl": "Ensembl ids", "symbol": "symbols", "numeric": "numeric ids"}
        others = {"ensembl_id": "Ensembl ids", "symbol": "symbols"}
        also = [f"{others[kind]} in var[{column!r}]" for kind, column in self.other_names.items()]
        where = (
            f"{self.values} in {self.counts_in}" if self.counts_in else f"no counts: {self.values}"
        )
        return " · ".join(
            [
                f"{self.cells:,} cells × {self.genes:,} genes",
                self.species if self.species != "unknown" else "species unknown",
                names[self.naming] + (f" ({', '.join(also)})" if also else ""),
                where,
                f"labels: {', '.join(self.labels) or 'none'}",
                f"batches: {', '.join(self.batches) or 'none'}",
            ]
        )

    def report(self) -> list[str]:
        """Return the line and the notices, for people."""
        return [self.line(), *self.notices]

    def as_dict(self) -> dict[str, Any]:
        """Return everything for JSON, with the schema's version."""
        return {"schema": SCHEMA, **asdict(self)}


def label_columns(obs: pd.DataFrame) -> tuple[str, ...]:
    """List the columns that look like cell types, the likeliest first."""
    return _grouping(obs, _LABELS)


def batch_columns(obs: pd.DataFrame) -> tuple[str, ...]:
    """List the columns that look like studies, donors, samples, technologies."""
    return _grouping(obs, _BATCHES)


def _grouping(obs: pd.DataFrame, names: tuple[str, ...]) -> tuple[str, ...]:
    found = []
    for column in obs.columns:
        spelling = "".join(filter(str.isalnum, str(column).lower()))
        levels = obs[column].nunique()
        if spelling.rstrip("0123456789") in names and 1 < levels <= max(2, len(obs) // 2):
            found.append((names.index(spelling.rstrip("0123456789")), len(column), str(column)))
    return tuple(column for *_, column in sorted(found))


def species_of(adata: AnnData, features: pd.DataFrame) -> str:
    """Tell the species from gene names, or from a declaration if they do not show it."""
    guessed = naming.guess_species(features)
    if guessed != "unknown":
        return guessed
    for column in _ORGANISM_COLUMNS:
        if column in adata.obs:
            declared = {naming.organism(name) for name in adata.obs[column].unique()}
            declared -= {"unknown"}
            return declared.pop() if len(declared) == 1 else "mixed" if declared else "unknown"
        if isinstance(adata.uns.get(column), str):
            return naming.organism(adata.uns[column])
    return "unknown"


def inspect(adata: AnnData) -> Findings:
    """Find out what a set of cells is, without changing it.

    Parameters
    ----------
    adata
        Any AnnData in memory.

    Returns
    -------
    The findings; ``.line()`` for people, ``.as_dict()`` for machines.

    Raises
    ------
    InputError
        If there are no cells, no genes or no matrix.
    """
    require_cells(adata)
    found = locate(adata)
    place = found.place or next(iter(found.tried))
    features = features_of(adata, place)
    matrix = matrix_at(adata, place)
    empty = int((np.asarray((matrix != 0).sum(axis=1)).ravel() == 0).sum())
    duplicates = int(features.index.duplicated().sum())
    cells = int(adata.obs_names.duplicated().sum())
    return Findings(
        cells=adata.n_obs,
        genes=len(features),
        species=species_of(adata, features),
        naming=naming.naming_of(features.index),
        other_names=naming.other_names(features),
        counts_in=found.place,
        values=found.values.words if found.place else found.words(),
        target_sum=found.values.target_sum,
        labels=label_columns(adata.obs),
        batches=batch_columns(adata.obs),
        empty_cells=empty,
        duplicate_genes=duplicates,
        duplicate_cells=cells,
        notices=tuple(_notices(found, features.index, empty, duplicates, cells)),
    )


def _notices(
    found: Located, names: pd.Index, empty: int, duplicates: int, cells: int
) -> Iterator[str]:
    for place, values in found.tried.items():
        if found.place is not None and place != found.place:
            yield f"{place} holds {values.words}; the counts in {found.place} are used."
    if found.values.kind == "float counts":
        yield "The counts have fractions, as after removal of ambient RNA; used as they are."
    if empty:
        yield f"{empty:,} cells are empty; they are kept and cannot be labelled."
    if duplicates:
        yield f"{duplicates:,} gene names occur again; matching adds up their counts."
    if cells:
        yield f"{cells:,} cell names occur again."
    if naming.naming_of(names) == "numeric":
        yield "Genes are named by numbers, perhaps Entrez; models know symbols and Ensembl ids."
    if mangled := naming.mangled_dates(names):
        yield f"{len(mangled)} gene names became dates in a spreadsheet, e.g. {mangled[0]!r}."
    if len(genomes := naming.genomes_of(names)) > 1:
        yield f"The genes are of several references: {', '.join(genomes)}; use one at a time."


def require_cells(adata: AnnData) -> None:
    """Refuse an AnnData without cells or without genes."""
    if not adata.n_obs or not adata.n_vars:
        lacking = "cells" if not adata.n_obs else "genes"
        shape = f"{adata.n_obs:,} cells × {adata.n_vars:,} genes"
        raise InputError(
            f"There are no {lacking}: the matrix is {shape}.",
            fix="Check the filter that made this file.",
        )


def require_upright(adata: AnnData) -> None:
    """Refuse an AnnData whose rows are genes."""
    swapped = naming.look_like_barcodes(adata.var_names) and not naming.look_like_barcodes(
        adata.obs_names
    )
    genes = naming.look_like_genes(adata.obs_names) and not naming.look_like_genes(adata.var_names)
    if swapped or genes:
        raise InputError(
            f"The rows look like genes, e.g. {str(adata.obs_names[0])!r}, and the columns like "
            f"cells, e.g. {str(adata.var_names[0])!r}: the matrix is transposed.",
            fix="Read it with transpose=True (--transpose), or without if you asked for that.",
        )
