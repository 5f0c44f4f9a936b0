"""Denoising by doing nothing, by forgetting the cell, and by principal components."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pancyte.denoising.shares import average, floored, observed, shares_of, varies
from pancyte.tasks.expression import log_normalised

if TYPE_CHECKING:
    from pancyte.shapes import Cells

RANK = 20


class NoOp:
    """The counts as they are; only what a cell has none of gets a little of the average cell."""

    name = "no-op"

    def denoise(self, cells: Cells, *, seed: int) -> np.ndarray:
        """Return each cell's own shares, (cells, genes)."""
        return floored(observed(cells.counts), cells.counts)


class GeneMean:
    """All cells alike: what a method predicts that has learned nothing of any cell."""

    name = "gene-mean"

    def denoise(self, cells: Cells, *, seed: int) -> np.ndarray:
        """Return the average cell's shares for each cell, (cells, genes)."""
        return np.tile(average(cells.counts), (len(cells), 1))


class PCAReconstruction:
    """Each cell rebuilt from 20 principal components of log-normalised expression.

    The way back to counts: the logarithm is undone, genes are scaled to the reads they have in
    all cells together (the mean of a logarithm is not the logarithm of a mean), and cells to 1.
    """

    name = "pca-denoise"

    def __init__(self, rank: int = RANK) -> None:
        self.rank = rank

    def denoise(self, cells: Cells, *, seed: int) -> np.ndarray:
        """Return the shares of the rebuilt cells, (cells, genes)."""
        from sklearn.decomposition import PCA

        counts = cells.counts
        depth = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
        X = log_normalised(counts, depth)
        if not varies(X):
            return floored(observed(counts), counts)
        rank = max(1, min(self.rank, min(X.shape) - 1))
        fitted = PCA(rank, svd_solver="arpack", random_state=seed)
        rebuilt = fitted.inverse_transform(fitted.fit_transform(X))
        levels = shares_of(np.expm1(np.maximum(rebuilt, 0)))
        reads = np.asarray(counts.sum(axis=0), dtype=np.float64).ravel()
        expected = depth @ levels
        levels *= np.where(expected > 0, reads / np.where(expected > 0, expected, 1), 0)
        return floored(shares_of(levels), counts)
