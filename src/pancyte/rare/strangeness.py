"""How unlike its neighbours a cell is by itself, whatever group it may be of."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix
from scipy.stats import rankdata

from pancyte.metrics.neighbours import nearest_neighbours
from pancyte.rare.residuals import components

GENES, RANK = 1000, 20
NEAR, FAR = 2, 15


def strangeness(counts: csr_matrix, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two views of how strange each cell is.

    - ``gap``: distance to the fifteenth neighbour over that to the second, on principal components:
      large for cells with a few like them and then none (Fa et al. 2021, GapClust, Nat. Commun.
      12:4197).
    - ``residual``: share of the cell's variation that those components do not reproduce.

    Parameters
    ----------
    counts
        (cells, genes).
    seed
        Seed of the components.

    Returns
    -------
    gap, residual
        (cells,) each.
    """
    Z, residual = components(counts, genes=GENES, rank=RANK, seed=seed)
    near = nearest_neighbours(Z, FAR)
    away = np.linalg.norm(Z[near] - Z[:, None], axis=2)
    return away[:, -1] / np.maximum(away[:, min(NEAR, away.shape[1]) - 1], 1e-12), residual


def ranked(*views: np.ndarray) -> np.ndarray:
    """Mean rank over views, from above 0 to below 1; (cells,)."""
    ranks = [rankdata(view) / (len(view) + 1) for view in views]
    return np.asarray(np.mean(ranks, axis=0))
