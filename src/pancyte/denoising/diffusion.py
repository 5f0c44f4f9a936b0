"""Denoising by averages over a random walk among neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix, diags

from pancyte.denoising.shares import floored, observed, varies
from pancyte.metrics.neighbours import canonical_order
from pancyte.tasks.expression import log_normalised

if TYPE_CHECKING:
    from pancyte.shapes import Cells

COMPONENTS, NEIGHBOURS, BANDWIDTH, STEPS = 50, 15, 5, 3


class Diffusion:
    """Each cell as the average of where a random walk of three steps from it ends.

    After van Dijk et al. 2018, MAGIC, Cell 174:716: neighbours on principal components, a
    Gaussian kernel as wide as the distance to the fifth neighbour, made symmetric; the walk
    averages shares of reads, so no link back to counts is needed.
    """

    name = "magic-like"

    def __init__(self, steps: int = STEPS) -> None:
        self.steps = steps

    def denoise(self, cells: Cells, *, seed: int) -> np.ndarray:
        """Return averaged shares, (cells, genes)."""
        walk = self._walk(cells.counts, seed)
        shares = observed(cells.counts)
        for _ in range(self.steps):
            shares = walk @ shares
        return floored(shares, cells.counts)

    def _walk(self, counts: csr_matrix, seed: int) -> csr_matrix:
        from sklearn.decomposition import PCA
        from sklearn.neighbors import NearestNeighbors

        depth = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
        X = log_normalised(counts, depth)
        rank = max(1, min(COMPONENTS, min(X.shape) - 1))
        Z = np.zeros((len(depth), 1))
        if varies(X):
            Z = PCA(rank, svd_solver="arpack", random_state=seed).fit_transform(X)
        order = canonical_order(Z)
        k = min(NEIGHBOURS, len(Z) - 1)
        away, near = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(Z[order]).kneighbors()
        width = np.maximum(away[:, min(BANDWIDTH, k) - 1], 1e-12)
        kernel = np.exp(-((away / width[:, None]) ** 2))
        rows, columns = order[np.repeat(np.arange(len(Z)), k)], order[near.ravel()]
        graph = csr_matrix((kernel.ravel(), (rows, columns)), (len(Z), len(Z)))
        graph = (graph + graph.T) / 2 + diags(np.ones(len(Z)))
        return (diags(1 / np.asarray(graph.sum(axis=1)).ravel()) @ graph).tocsr()
