"""Cell types from lists of marker genes, where there is no labelled reference."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import hypergeom

from pancyte.corpus.genes import match
from pancyte.deciding.quality import AMBIGUOUS, EMPTY, LOW_QUALITY, NOVEL, few_genes
from pancyte.errors import InputError, MissingError
from pancyte.metrics.neighbours import nearest_neighbours
from pancyte.tasks.expression import log_normalised, variable

if TYPE_CHECKING:
    from pancyte.shapes import Cells

LEAST_MARKERS = 2
LEAD = 0.5
LEVEL = 0.05
COMPONENTS, GENES = 30, 2000


@dataclass(frozen=True)
class MarkerDecision:
    """What marker genes say of each cell.

    Attributes
    ----------
    classes
        The types of which enough markers were measured.
    scores
        How far each type's markers are above halfway between low and high, in standard
        deviations of a sum of that many genes, averaged over each cell and its neighbours;
        (cells, types).
    p_values
        Chance of so many detected markers of the best type among as many detected genes drawn
        at random, times the number of types; (cells,).
    embedding
        Principal components of the cells, (cells, at most 30).
    reasons
        Why a cell is not labelled, ``""`` if it is.
    """

    classes: np.ndarray
    scores: np.ndarray
    p_values: np.ndarray
    embedding: np.ndarray
    reasons: np.ndarray

    @property
    def best(self) -> np.ndarray:
        """The type with the highest score."""
        return self.classes[self.scores.argmax(axis=1)]

    @property
    def labels(self) -> np.ndarray:
        """The label, or ``"unassigned: …"`` with the reason."""
        unassigned = [f"unassigned: {reason}" for reason in self.reasons]
        return np.where(self.reasons == "", self.best, unassigned).astype(object)


def read_markers(given: Mapping[str, Sequence[str]] | str | Path) -> dict[str, list[str]]:
    """Take marker genes from a dictionary, or from a GMT file.

    Parameters
    ----------
    given
        ``{type: genes}``, or a file with one type a line: name, description, genes, separated by
        tabs; may be gzipped.

    Raises
    ------
    MissingError
        If there is no such file.
    InputError
        If it is not a GMT file, or names fewer than two types.
    """
    if isinstance(given, Mapping):
        sets = {str(name): [str(gene) for gene in genes] for name, genes in given.items()}
    else:
        path = Path(given)
        if not path.is_file():
            raise MissingError(f"There is no marker file {str(path)!r}.", fix="Check the path.")
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8", errors="replace") as handle:
            rows = [line.rstrip("\r\n").split("\t") for line in handle if line.strip()]
        short = next((number for number, row in enumerate(rows, 1) if len(row) < 3), None)
        if short is not None:
            raise InputError(
                f"Line {short} of {path} has fewer than three columns.",
                fix="Give GMT: name, description, genes, separated by tabs.",
            )
        sets = {row[0]: [gene for gene in row[2:] if gene] for row in rows}
    if len(sets) < 2:
        raise InputError(f"There are markers of {len(sets)} type(s).", fix="Give at least two.")
    return sets


def decide_by_markers(query: Cells, markers: Mapping[str, Sequence[str]]) -> MarkerDecision:
    """Label cells by which type's markers stand out in them and in the cells like them.

    A marker weighs one over the number of types that list it (as in ScType, Ianevski et al.
    2022, Nat. Commun. 13:1246). The best type is given if its markers are detected more often
    than chance would have it (hypergeometric, corrected for the number of types) and its score
    leads the next by half a standard deviation. Of a handful of markers a shallow cell shows too
    few for that; its cluster can speak for it.

    Raises
    ------
    InputError
        If fewer than two types have two markers that were measured.
    """
    classes, weights = _weights(query, markers)
    totals = np.asarray(query.counts.sum(axis=1), dtype=np.float64).ravel()
    logged = log_normalised(query.counts, totals)
    used = np.flatnonzero(weights.any(axis=0))
    dense = logged[:, used].toarray()
    # halfway between low and high, so that a type that most cells have still stands out
    middle = np.quantile(dense, [0.05, 0.95], axis=0).mean(axis=0)
    z = (dense - middle) / np.maximum(dense.std(axis=0), 1e-6)
    lengths = np.sqrt((weights[:, used] ** 2).sum(axis=1))
    alone = np.clip(z, -10, 10) @ weights[:, used].T / lengths
    embedding = _components(logged)
    near = nearest_neighbours(embedding)
    scores = (alone + alone[near].sum(axis=1)) / (1 + near.shape[1])
    best = scores.argmax(axis=1)
    p = _enrichment(query, weights > 0, best)
    ranked = np.sort(scores, axis=1)
    answer = np.full(len(query), "", dtype=object)
    answer[(p >= LEVEL) | (ranked[:, -1] - ranked[:, -2] < LEAD)] = AMBIGUOUS
    answer[ranked[:, -1] <= 0] = NOVEL
    answer[(answer != "") & few_genes(query)] = LOW_QUALITY
    answer[totals == 0] = EMPTY
    return MarkerDecision(classes, scores, p, embedding, answer)


def _weights(query: Cells, markers: Mapping[str, Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
    names = list(dict.fromkeys(gene for genes in markers.values() for gene in genes))
    columns = match(pd.DataFrame(index=names), query.features).columns
    place = dict(zip(names, columns.tolist(), strict=True))
    listed = {
        name: sorted({place[gene] for gene in genes if place[gene] >= 0})
        for name, genes in sorted(markers.items())
    }
    enough = {name: genes for name, genes in listed.items() if len(genes) >= LEAST_MARKERS}
    if len(enough) < 2:
        raise InputError(
            f"Of {len(markers)} types {len(enough)} have {LEAST_MARKERS} or more markers among "
            f"the genes of {query.name}, e.g. {names[0]!r} against {query.features.index[0]!r}.",
            fix="Check the species, and that genes are named by symbol or Ensembl id.",
        )
    weights = np.zeros((len(enough), len(query.features)))
    for row, genes in enumerate(enough.values()):
        weights[row, genes] = 1
    return np.array(list(enough)), weights / np.maximum(weights.sum(axis=0), 1)


def _components(logged: object) -> np.ndarray:
    from scipy.sparse import csr_matrix
    from sklearn.decomposition import PCA

    matrix = csr_matrix(logged)
    chosen = matrix[:, variable(matrix, GENES)]
    rank = min(COMPONENTS, min(chosen.shape) - 1)
    return PCA(rank, svd_solver="arpack", random_state=0).fit_transform(chosen)


def _enrichment(query: Cells, listed: np.ndarray, best: np.ndarray) -> np.ndarray:
    detected = query.counts.astype(bool)
    of_each = (detected @ listed.T.astype(np.int64))[np.arange(len(best)), best]
    size, drawn = listed.sum(axis=1)[best], np.asarray(detected.sum(axis=1)).ravel()
    expressed = int((query.counts.getnnz(axis=0) > 0).sum())
    p = hypergeom.sf(of_each - 1, expressed, size, drawn)
    return np.minimum(1, p * len(listed))
