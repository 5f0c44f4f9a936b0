"""The graph of neighbours: how strongly cells are joined, and whether a type holds together."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from pancyte.metrics.metric import metric, same_length
from pancyte.metrics.survey import Near, survey

JOINED = 15
TOLERANCE = 1e-5
TRIES = 64
NARROWEST = 1e-3


@metric(worst=0.0, best=1.0, source="Luecken et al. 2022, Nat. Methods 19:41.")
def graph_connectivity(embedding: ArrayLike, labels: ArrayLike, near: Near | None = None) -> float:
    """Whether the cells of a type can reach each other through neighbours of that type.

    Share of a type's cells in the largest strongly connected part of the graph of the 15
    nearest cells (the cell itself counted), averaged over types.

    Parameters
    ----------
    embedding
        (cells, width).
    labels
        Cell types, (cells,).
    near
        As from `survey` of this embedding; found if not given.
    """
    same_length(embedding=embedding, labels=labels)
    found = (survey(embedding).near if near is None else near).first(JOINED)
    types = np.asarray(labels)
    graph = _graph(found, np.ones(found.indices.shape))
    shares = []
    for name in np.unique(types):
        rows = np.flatnonzero(types == name)
        parts = connected_components(graph[rows][:, rows], connection="strong")[1]
        shares.append(np.bincount(parts).max() / len(rows))
    return float(np.mean(shares))


def connectivities(near: Near) -> csr_matrix:
    """Weigh the edges of the neighbour graph as UMAP does (McInnes et al. 2018, arXiv:1802.03426).

    A neighbour's weight falls from 1 at the nearest one's distance as exp(-d/σ), with σ found by
    bisection so that a cell's weights add up to log2(k). The two directions a, b of an edge
    become a + b - ab.

    Returns
    -------
    Symmetric, (cells, cells), float32.
    """
    lengths = near.distances.astype(np.float32).astype(np.float64)
    # distances are sorted: the first that is not 0, or 0 where there is none
    nearest = lengths[np.arange(len(lengths)), (lengths > 0).argmax(axis=1)]
    beyond = np.maximum(lengths - nearest[:, None], 0)
    width = _widths(beyond[:, 1:], np.log2(lengths.shape[1]))
    floor = np.where(nearest > 0, lengths.mean(axis=1), lengths.mean()) * NARROWEST
    width = np.maximum(width, floor).astype(np.float32).astype(np.float64)
    weights = np.exp(-beyond / np.where(width > 0, width, 1)[:, None])
    weights[near.indices == np.arange(len(lengths))[:, None]] = 0
    one_way = _graph(near, weights.astype(np.float32))
    one_way.eliminate_zeros()
    other_way = one_way.T.tocsr()
    both = one_way + other_way - one_way.multiply(other_way)
    joined = csr_matrix(both)
    joined.eliminate_zeros()
    joined.sort_indices()
    return joined


def _widths(beyond: np.ndarray, target: float) -> np.ndarray:
    """Find σ of each cell, such that its sum of exp(-beyond/σ) is `target`."""
    width = np.ones(len(beyond))
    low, high = np.zeros(len(beyond)), np.full(len(beyond), np.inf)
    left = np.arange(len(beyond))
    for _ in range(TRIES):
        sums = np.exp(-beyond[left] / width[left, None]).sum(axis=1)
        open_ = np.abs(sums - target) >= TOLERANCE
        left, sums = left[open_], sums[open_]
        if not len(left):
            break
        wide = sums > target
        high[left[wide]], low[left[~wide]] = width[left[wide]], width[left[~wide]]
        width[left] = np.where(np.isinf(high[left]), width[left] * 2, (low[left] + high[left]) / 2)
    return width


def _graph(near: Near, weights: np.ndarray) -> csr_matrix:
    cells, k = near.indices.shape
    bounds = np.arange(0, cells * k + 1, k)
    graph = csr_matrix((weights.ravel(), near.indices.ravel(), bounds), shape=(cells, cells))
    graph.sort_indices()
    return graph
