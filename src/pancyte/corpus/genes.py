"""Whose gene is whose: match a dataset's features to a vocabulary, and judge the overlap."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from pancyte.corpus.findings import Coverage
from pancyte.corpus.identity import SPECIES, resolve
from pancyte.corpus.naming import clean, genomes_of, guess_species, is_text
from pancyte.corpus.notices import tell
from pancyte.corpus.rename import ORIGINAL
from pancyte.errors import InputError

if TYPE_CHECKING:
    from pancyte.shapes import Cells

WARN_BELOW = 0.5
REFUSE_BELOW = 0.2
THROUGH_TABLE = "index ↔ index, through the gene table"
# Columns whose values repeat (chromosome, biotype) name no feature
DISTINCT = 0.9


@dataclass(frozen=True)
class Match:
    """Which vocabulary entry each feature is.

    Attributes
    ----------
    columns
        For each feature the row of the vocabulary, or -1; (features,) int64. Several features
        may share a row: their counts belong together.
    naming
        Which names agreed, e.g. ``"index ↔ ensembl_id"`` (data ↔ vocabulary).
    overlap_of_data
        Fraction of the features found in the vocabulary.
    overlap_of_vocabulary
        Fraction of the vocabulary found among the features.
    size
        Number of vocabulary entries.
    """

    columns: np.ndarray
    naming: str
    overlap_of_data: float
    overlap_of_vocabulary: float
    size: int

    def project(self, counts: csr_matrix) -> csr_matrix:
        """Reorder counts into the vocabulary's columns, adding up those that share one.

        Parameters
        ----------
        counts
            (cells, features) as matched.

        Returns
        -------
        (cells, vocabulary), same type, sorted indices.
        """
        known = np.flatnonzero(self.columns >= 0)
        selection = csr_matrix(
            (np.ones(len(known), counts.dtype), (known, self.columns[known])),
            shape=(len(self.columns), self.size),
        )
        projected = csr_matrix(counts @ selection)
        projected.sort_indices()
        return projected


@dataclass(frozen=True)
class Overlap:
    """How well a dataset and a vocabulary fit.

    Attributes
    ----------
    fraction
        Overlap coefficient: genes in common over the smaller of the two sets, 0 to 1.
    shared
        Number of detected features that the vocabulary has.
    detected
        Number of features with a count in any cell.
    counts
        Fraction of all counts that the shared features carry.
    """

    fraction: float
    shared: int
    detected: int
    counts: float


def match(features: pd.DataFrame, vocabulary: pd.DataFrame) -> Match:
    """Find each feature in a vocabulary, by whichever names agree best.

    Symbols, Ensembl ids and any other column of nearly unique names are tried on both sides;
    the pair that finds most vocabulary entries wins, the first of equals. Ensembl versions and
    the prefix of a reference are stripped; upper and lower case are kept apart, for they tell
    species apart. Where a vocabulary has a name twice, its first entry is meant. If even the best
    pair finds less than half, names are resolved through the gene table of the vocabulary's
    species: earlier symbols, aliases, and symbols against Ensembl ids.

    Parameters
    ----------
    features
        One row per feature of the data.
    vocabulary
        One row per entry; the row number is the entry's id.
    """
    best = Match(np.full(len(features), -1), "none", 0.0, 0.0, len(vocabulary))
    known = list(_namings(vocabulary))
    for mine, names in _namings(features):
        for theirs, entries in known:
            best = _better(best, _find(names, entries, f"{mine} ↔ {theirs}"))
    if max(best.overlap_of_data, best.overlap_of_vocabulary) < WARN_BELOW:
        species = guess_species(vocabulary)
        if species in SPECIES and guess_species(features) in (species, "unknown"):
            mine, theirs = (
                pd.Index(resolve(table.index, species, "ensembl")["target"])
                for table in (features, vocabulary)
            )
            best = _better(best, _find(mine, theirs, THROUGH_TABLE))
    return best


def _find(names: pd.Index, entries: pd.Index, naming: str) -> Match:
    first = pd.Series(np.arange(len(entries)), index=entries)
    first = first[(first.index != "") & ~first.index.duplicated()]
    columns = first.reindex(names).fillna(-1).to_numpy(np.int64)
    found, size = columns[columns >= 0], len(entries)
    of_data, of_vocabulary = len(found) / max(1, len(names)), len(np.unique(found)) / max(1, size)
    return Match(columns, naming, of_data, of_vocabulary, size)


def _better(best: Match, other: Match) -> Match:
    return other if other.overlap_of_vocabulary > best.overlap_of_vocabulary else best


def _namings(table: pd.DataFrame) -> Iterator[tuple[str, pd.Index]]:
    yield "index", clean(table.index)
    # What genes were called before they were mapped is history, and maybe of another species
    for column in table.columns.difference([ORIGINAL], sort=False):
        values = table[column]
        present = values.dropna()
        if is_text(values) and len(present) and present.nunique() >= DISTINCT * len(present):
            yield str(column), clean(values)


def check_overlap(
    match: Match, cells: Cells, vocabulary: pd.DataFrame, *, species: str | None = None
) -> Overlap:
    """Judge whether a model's vocabulary and a dataset are about the same genes.

    The measure is an overlap coefficient (Szymkiewicz–Simpson): the share of the *detected*
    features, those with a count in any of the cells, that the vocabulary has, or the share of the
    vocabulary that was measured, whichever is larger. A panel of
    300 genes that a large vocabulary contains, and a vocabulary of 2,000 variable genes that a
    whole transcriptome contains, both score 1; a mouse among humans scores near 0.

    Parameters
    ----------
    match
        What `match` returned for these cells.
    cells
        The data.
    vocabulary
        The model's features.
    species
        The model's species; guessed from the vocabulary if not given.

    Returns
    -------
    The overlap. Below 50 %, or if the species differ, a line is printed.

    Raises
    ------
    InputError
        Below 20 %, naming both species; or if the genes carry the prefixes of two references.
    """
    if len(genomes := genomes_of(cells.features.index)) > 1:
        raise InputError(
            f"{cells.name} has genes of several references: {', '.join(genomes)}.",
            fix=f"Read the file with genome={genomes[0]!r} (--genome {genomes[0]}), or take "
            f"adata[:, adata.var_names.str.startswith('{genomes[0]}_')].",
        )
    overlap = measure_overlap(match, cells)
    if match.naming == THROUGH_TABLE and overlap.fraction >= REFUSE_BELOW:
        tell(
            f"Gene names were mapped by the gene table: {overlap.shared:,} of {overlap.detected:,} "
            f"detected genes ({overlap.shared / overlap.detected:.1%}) are in the vocabulary."
        )
    ours, theirs = guess_species(cells.features), species or guess_species(vocabulary)
    differ = not {"unknown", "mixed"} & {ours, theirs} and ours != theirs
    share = (
        f"{overlap.shared:,} of {overlap.detected:,} detected genes of {cells.name} "
        f"({_said(ours)}) are in the model's vocabulary of {match.size:,} ({_said(theirs)}), "
        f"with {overlap.counts:.0%} of the counts"
    )
    if overlap.fraction < REFUSE_BELOW:
        how = f": pan.pp.to_species(adata, {theirs!r})" if {ours, theirs} <= {*SPECIES} else ""
        raise InputError(
            f"Only {share}; for example {_example(cells.features)} against {_example(vocabulary)}.",
            fix=f"Use a {ours} model, or map the genes to {theirs} orthologs first{how}."
            if differ
            else "Name the genes by symbol or Ensembl id, as the vocabulary does.",
        )
    if overlap.fraction < WARN_BELOW or differ:
        tell(f"warning: {share}; results may be poor.")
    return overlap


def coverage(cells: Cells, name: str, vocabulary: pd.DataFrame, species: str) -> Coverage:
    """Say how well a model fits, as `check_overlap` would judge it, without refusing.

    Parameters
    ----------
    cells
        The data.
    name, vocabulary, species
        The model's name, features and species; ``"unknown"`` species are guessed.
    """
    found = match(cells.features, vocabulary)
    overlap = measure_overlap(found, cells)
    mixed = len(genomes_of(cells.features.index)) > 1
    poor = "poor" if overlap.fraction < WARN_BELOW else "fits"
    return Coverage(
        model=name,
        species=guess_species(vocabulary) if species == "unknown" else species,
        genes=len(vocabulary),
        shared=overlap.shared,
        detected=overlap.detected,
        counts=overlap.counts,
        overlap=overlap.fraction,
        verdict="refused" if mixed or overlap.fraction < REFUSE_BELOW else poor,
        naming=found.naming,
    )


def measure_overlap(match: Match, cells: Cells) -> Overlap:
    """Measure what `check_overlap` judges by."""
    totals = np.asarray(cells.counts.sum(axis=0)).ravel()
    # Cells that are all empty are judged by what was measured in them
    detected = totals > 0 if totals.any() else np.ones(len(totals), bool)
    found = match.columns[detected]
    hits = found[found >= 0]
    of_data = len(hits) / max(1, len(found))
    # A vocabulary of variable genes is rarely expressed whole: what was measured counts here
    of_vocabulary = match.overlap_of_vocabulary
    known = float(totals[match.columns >= 0].sum() / totals.sum()) if totals.any() else 0.0
    return Overlap(max(of_data, of_vocabulary), len(hits), len(found), known)


def _said(species: str) -> str:
    return "species unknown" if species == "unknown" else species


def _example(table: pd.DataFrame) -> str:
    return ", ".join(repr(str(name)) for name in table.index[:2])
