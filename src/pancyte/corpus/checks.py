"""What a set of cells is: where its counts are, whose genes, which labels, what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pancyte.corpus import naming
from pancyte.corpus.counts import (
    Located,
    canonical,
    counts_of,
    features_of,
    locate,
    matrix_at,
    require_counts,
)
from pancyte.corpus.findings import Findings
from pancyte.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = [
    "Findings",
    "batch_columns",
    "counts_of",
    "inspect",
    "label_columns",
    "require_batches",
    "require_cells",
    "require_upright",
    "species_of",
]

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
    genomes = naming.genomes_of(features.index)
    numbers = _numbers(adata, place, features.index if len(genomes) > 1 else None)
    return Findings(
        cells=adata.n_obs,
        genes=len(features),
        species=species_of(adata, features),
        naming=naming.naming_of(features.index),
        other_names=naming.other_names(features),
        counts_in=found.place,
        values=found.values.words if found.place else found.words(),
        target_sum=next(iter(found.tried.values())).target_sum,
        matrices={place: values.words for place, values in found.tried.items()},
        labels=_levels(adata.obs, label_columns(adata.obs)),
        batches=_levels(adata.obs, batch_columns(adata.obs)),
        notices=tuple(_notices(found, features.index, numbers)),
        would=_would(adata, found, genomes),
        **numbers,
    )


def _numbers(adata: AnnData, place: str, names: pd.Index | None) -> dict[str, Any]:
    matrix = canonical(matrix_at(adata, place))
    names = naming.clean(features_of(adata, place).index) if names is None else names
    return {
        "zeros": 1 - matrix.nnz / (matrix.shape[0] * matrix.shape[1]),
        "empty_cells": int((matrix.getnnz(axis=1) == 0).sum()),
        "empty_genes": int((matrix.getnnz(axis=0) == 0).sum()),
        "duplicate_genes": int(names[names != ""].duplicated().sum()),
        "duplicate_cells": int(adata.obs_names.duplicated().sum()),
    }


def _levels(obs: pd.DataFrame, columns: tuple[str, ...]) -> dict[str, int]:
    return {column: int(obs[column].nunique()) for column in columns}


def _would(adata: AnnData, found: Located, genomes: list[str]) -> str:
    if len(genomes) > 1:
        return f"stop and ask for one reference's genes: --genome {' or --genome '.join(genomes)}"
    try:
        return f"read the counts in {require_counts(adata, found)}"
    except InputError as error:
        return f"stop where counts are needed. {error.fix}"


def _notices(found: Located, names: pd.Index, numbers: dict[str, Any]) -> Iterator[str]:
    for place, values in found.tried.items():
        if found.place is not None and place != found.place:
            yield f"{place} holds {values.words}; the counts in {found.place} are used."
    if found.values.kind == "float counts":
        yield "The counts have fractions, as after removal of ambient RNA; used as they are."
    if empty := numbers["empty_cells"]:
        yield f"{empty:,} cells are empty; they are kept and cannot be labelled."
    if versions := naming.versions_of(names):
        yield f"Gene ids carry versions, e.g. {versions!r}; they are stripped before matching."
    if duplicates := numbers["duplicate_genes"]:
        yield f"{duplicates:,} gene names occur again; matching adds up their counts."
    if cells := numbers["duplicate_cells"]:
        yield f"{cells:,} cell names occur again."
    if naming.naming_of(names) == "numeric":
        yield "Genes are named by numbers, perhaps Entrez; models know symbols and Ensembl ids."
    if mangled := naming.mangled_dates(names):
        yield (
            f"{len(mangled)} gene names became dates in a spreadsheet, e.g. {mangled[0]!r}; take "
            "them from the original file, as several genes become the same date."
        )
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


def require_batches(obs: pd.DataFrame, key: str) -> np.ndarray:
    """Return which technical batch each cell is of, or say which column could tell.

    Parameters
    ----------
    obs
        Table of the cells.
    key
        Its column.

    Returns
    -------
    (cells,) text.

    Raises
    ------
    InputError
        If there is no such column, a cell has no value in it, or all have the same one; the
        message lists the columns that look like batches.
    """
    others = [column for column in batch_columns(obs) if column != key]
    listed = f"Columns that look like batches: {', '.join(others) or 'none'}."
    if key not in obs:
        raise InputError(f"There is no batch column {key!r} in obs.", fix=listed)
    column = obs[key]
    missing = int(column.isna().sum())
    if missing:
        raise InputError(
            f"{missing:,} of {len(column):,} cells have no value in batch column {key!r}, the "
            f"first is {str(obs.index[column.isna()][0])!r}.",
            fix=f"Fill it or leave these cells out. {listed}",
        )
    if column.nunique() < 2:
        raise InputError(
            f"Batch column {key!r} has one value only, {str(column.iloc[0])!r}.", fix=listed
        )
    return column.astype(str).to_numpy()


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
