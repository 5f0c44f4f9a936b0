"""One pass over all distances: each cell's nearest cells, and how far each group lies from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from pancyte.metrics.neighbours import canonical_order, checked

NEAREST = 90
BLOCK = 2_000_000
"""Distances held at a time, 16 MB."""


@dataclass(frozen=True)
class Near:
    """The cells nearest to each cell, the cell itself first.

    Attributes
    ----------
    indices
        Row numbers, (cells, k), nearest first; column 0 is the cell itself.
    distances
        Euclidean, (cells, k).
    """

    indices: np.ndarray
    distances: np.ndarray

    def first(self, k: int) -> Near:
        """Return the nearest `k`, the cell itself among them."""
        return Near(self.indices[:, :k], self.distances[:, :k])


@dataclass(frozen=True)
class Survey:
    """What one pass over all pairs of cells gives.

    Attributes
    ----------
    near
        The nearest cells.
    codes
        Group of each cell, (cells,).
    totals
        Sum of the distances from each cell to all cells of each group, (cells, groups).
    """

    near: Near
    codes: np.ndarray
    totals: np.ndarray

    def silhouettes(self) -> np.ndarray:
        """Silhouette width of each cell, -1 to 1, (cells,); 0 for a group of one cell."""
        rows, sizes = np.arange(len(self.codes)), np.bincount(self.codes)
        own = self.totals[rows, self.codes] / np.maximum(sizes[self.codes] - 1, 1)
        others = self.totals / sizes
        others[rows, self.codes] = np.inf
        nearest = others.min(axis=1)
        widest = np.maximum(own, nearest)
        width = np.divide(nearest - own, widest, out=np.zeros_like(own), where=widest > 0)
        return np.where(sizes[self.codes] > 1, width, 0.0)


def survey(embedding: ArrayLike, groups: ArrayLike | None = None, k: int = NEAREST) -> Survey:
    """Find each cell's nearest cells and its distances to groups, exactly, in constant memory.

    Parameters
    ----------
    embedding
        (cells, width).
    groups
        Group of each cell, such as its type, (cells,); one group if not given.
    k
        Nearest cells to keep, the cell itself among them; fewer if there are fewer cells.
    """
    Z = checked(embedding)
    given = np.zeros(len(Z), int) if groups is None else np.asarray(groups)
    codes = np.unique(given, return_inverse=True)[1].ravel()
    order = canonical_order(Z)
    order = order[np.argsort(codes[order], kind="stable")]
    Z, starts = Z[order], np.concatenate([[0], np.cumsum(np.bincount(codes))[:-1]])
    k, squares = min(k, len(Z)), (Z**2).sum(axis=1)
    indices, distances = np.empty((len(Z), k), int), np.empty((len(Z), k))
    totals = np.empty((len(Z), len(starts)))
    step = max(1, BLOCK // len(Z))
    for start in range(0, len(Z), step):
        rows = np.arange(start, min(start + step, len(Z)))
        block = Z[rows] @ (-2 * Z.T)
        block += squares[rows, None]
        block += squares
        np.maximum(block, 0, out=block)
        itself = (rows - start, rows)
        block[itself] = -1
        found = np.argpartition(block, k - 1, axis=1)[:, :k]
        lengths = np.take_along_axis(block, found, axis=1)
        nearest = np.lexsort((found, lengths))
        indices[order[rows]] = order[np.take_along_axis(found, nearest, axis=1)]
        lengths = np.take_along_axis(lengths, nearest, axis=1)
        distances[order[rows]] = np.sqrt(np.maximum(lengths, 0))
        block[itself] = 0
        totals[order[rows]] = np.add.reduceat(np.sqrt(block, out=block), starts, axis=1)
    return Survey(Near(indices, distances), codes, totals)
