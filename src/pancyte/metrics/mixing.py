"""Whether technical batches are mixed where biology is the same, and the score of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import hypergeom

from pancyte.errors import InputError
from pancyte.metrics.clustering import ari, asw_label, knn_purity, nmi, subset
from pancyte.metrics.metric import Metric, metric, same_length
from pancyte.metrics.neighbours import NEIGHBOURS, checked, nearest_neighbours


def _mixed_types(labels: np.ndarray, batches: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the rows of each cell type that occurs in at least two batches."""
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        if len(rows) > 2 and len(np.unique(batches[rows])) > 1:
            yield rows


def _entropy(fractions: np.ndarray) -> np.ndarray:
    logs = np.log(fractions, out=np.zeros_like(fractions), where=fractions > 0)
    return -(fractions * logs).sum(axis=-1)


def _expected_entropy(counts: np.ndarray, k: int) -> float:
    """Mean entropy of `k` cells drawn at random from batches of these sizes."""
    drawn = np.arange(k + 1)
    fractions = drawn / k
    logs = np.log(fractions, out=np.zeros(k + 1), where=fractions > 0)
    chance = hypergeom.pmf(drawn[None, :], counts.sum(), counts[:, None], k)
    return float(-(chance * fractions * logs).sum())


@metric(
    worst=0.0,
    best=1.0,
    source="pancyte; kin to iLISI, Korsunsky et al. 2019, Nat. Methods 16:1289.",
)
def batch_mixing(embedding: ArrayLike, labels: ArrayLike, batches: ArrayLike) -> float:
    """How well batches mix among neighbours of the same cell type: 0 apart, 1 as if at random.

    Within each type found in two batches or more, the entropy of the batches among a cell's 15
    nearest neighbours of that type, divided by what 15 cells drawn at random from the type
    would have; averaged over the type's cells, cut at 1, then averaged over types. Batches with
    different cell types are therefore not punished for it. A collapsed embedding mixes
    perfectly: never read this score without one of biology.

    Parameters
    ----------
    embedding
        (cells, width).
    labels
        Cell types, (cells,).
    batches
        Technical batches, (cells,).

    Raises
    ------
    InputError
        If no cell type occurs in two batches.
    """
    same_length(embedding=embedding, labels=labels, batches=batches)
    Z, types, groups = checked(embedding), np.asarray(labels), np.asarray(batches)
    scores = []
    for rows in _mixed_types(types, groups):
        names, codes = np.unique(groups[rows], return_inverse=True)
        found = nearest_neighbours(Z[rows], NEIGHBOURS)
        k = found.shape[1]
        fractions = (codes[found][:, :, None] == np.arange(len(names))).mean(axis=1)
        expected = _expected_entropy(np.bincount(codes), k)
        scores.append(min(_entropy(fractions).mean() / expected, 1.0))
    return _mean(scores)


@metric(
    worst=0.0,
    best=1.0,
    source="Luecken et al. 2022, Nat. Methods 19:41 (batch ASW).",
)
def asw_batch(embedding: ArrayLike, labels: ArrayLike, batches: ArrayLike) -> float:
    """How little a cell's place tells its batch within its type (silhouette): 1 nothing, 0 all.

    One minus the absolute silhouette width of batches within a cell type, averaged over the
    type's cells, then over types found in two batches or more. Above 10,000 cells a fixed
    random subset of 10,000 is used.

    Parameters
    ----------
    embedding, labels, batches
        As for `batch_mixing`.

    Raises
    ------
    InputError
        If no cell type occurs in two batches.
    """
    from sklearn.metrics import silhouette_samples

    same_length(embedding=embedding, labels=labels, batches=batches)
    Z = checked(embedding)
    chosen = subset(Z)
    Z, types, groups = Z[chosen], np.asarray(labels)[chosen], np.asarray(batches)[chosen]
    scores = [
        1 - np.abs(silhouette_samples(Z[rows], groups[rows])).mean()
        for rows in _mixed_types(types, groups)
        if len(np.unique(groups[rows])) < len(rows)
    ]
    return _mean(scores)


def _mean(scores: list[float]) -> float:
    if not scores:
        raise InputError(
            "No cell type occurs in two batches, so mixing cannot be told from biology.",
            fix="Check the label and batch columns, or leave the batch column out.",
        )
    return float(np.mean(scores))


@metric(
    worst=0.0,
    best=1.0,
    source="After Luecken et al. 2022, Nat. Methods 19:41: .6 biology + .4 mixing.",
)
def total(
    embedding: ArrayLike,
    labels: ArrayLike,
    batches: ArrayLike,
    *,
    neighbours: np.ndarray | None = None,
    clusters: ArrayLike | None = None,
    scores: Mapping[str, float] | None = None,
) -> float:
    """Biology and mixing in one number: .6 × mean of four scores + .4 × mean of two.

    Biology is `knn_purity`, `ari`, `nmi` and `asw_label`, mixing `batch_mixing` and
    `asw_batch`. The terms differ from scIB's, so the numbers are not comparable with published
    scIB totals.

    Parameters
    ----------
    embedding, labels, batches
        As for `batch_mixing`.
    neighbours, clusters
        As for `knn_purity` and `ari`.
    scores
        Terms already known, by name; the others are computed.
    """
    arrays: dict[str, Any] = {"embedding": embedding, "labels": labels, "batches": batches}
    arrays |= {"neighbours": neighbours, "clusters": clusters}
    known = scores or {}

    def mean(terms: tuple[Metric, ...]) -> float:
        values = [known[m.name] if m.name in known else m.score(arrays) for m in terms]
        return float(np.mean(values))

    return 0.6 * mean((knn_purity, ari, nmi, asw_label)) + 0.4 * mean((batch_mixing, asw_batch))
