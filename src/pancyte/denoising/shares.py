"""Shares of reads: the scale on which all methods are compared."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_matrix, issparse

FLOOR = 0.02
"""Part of every cell's shares that is the average cell's, so that no gene is held impossible."""


def shares_of(levels: ArrayLike) -> np.ndarray:
    """Scale non-negative levels, (cells, genes), so that each cell's add up to 1.

    A cell without any gets the same share of every gene.
    """
    rows = np.maximum(np.asarray(levels, dtype=np.float64), 0)
    sums = rows.sum(axis=1, keepdims=True)
    return np.where(sums > 0, rows / np.where(sums > 0, sums, 1), 1 / rows.shape[1])


def average(counts: csr_matrix) -> np.ndarray:
    """Share of each gene in all reads, as if each had half a read more; (genes,)."""
    reads = np.asarray(counts.sum(axis=0), dtype=np.float64).ravel() + 0.5
    return reads / reads.sum()


def varies(levels: csr_matrix) -> bool:
    """Whether cells differ at all, (cells, genes); if not, there are no components."""
    first = levels[0]
    return any((levels[row] != first).nnz for row in range(1, levels.shape[0]))


def floored(shares: np.ndarray, counts: csr_matrix) -> np.ndarray:
    """Mix a little of the average cell into every cell's shares."""
    return (1 - FLOOR) * shares + FLOOR * average(counts)


def observed(counts: csr_matrix) -> np.ndarray:
    """Shares as they were read, (cells, genes)."""
    return shares_of(counts.toarray() if issparse(counts) else counts)
