"""Which cells of a query are like each other, so that what is asked of one is asked of all."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix, identity

from pancyte.tasks.expression import GENES, log_normalised, variable

COMPONENTS, CELLS_A_COMPONENT = 30, 5
NEIGHBOURS, FEWEST = 15, 50


def alike(counts: csr_matrix) -> csr_matrix:
    """Say how alike cells that were measured together are, whatever the reference knows.

    Counts of one cell are few. A type that the reference lacks is strange in all of its cells,
    while what is strange about a cell by chance is not so in those next to it.

    Parameters
    ----------
    counts
        Of the cells, (cells, genes), raw.

    Returns
    -------
    (cells, cells): 1 for the cell itself, and for its 14 nearest cells on principal components
    ``exp(-2 (distance / width)**2)``, where the width is how far the 14th is from the one of the
    two for which that is less. So a cell apart from all others hardly counts them. Of fewer than
    50 cells each is like itself only, as is a cell without counts.
    """
    from sklearn.decomposition import PCA
    from sklearn.neighbors import NearestNeighbors

    themselves = identity(counts.shape[0], format="csr")
    some = np.flatnonzero(counts.getnnz(axis=1))
    if len(some) < FEWEST:
        return themselves
    totals = np.asarray(counts[some].sum(axis=1), dtype=np.float64).ravel()
    logged = log_normalised(counts[some], totals)
    logged = logged[:, variable(logged, GENES)]
    rank = min(COMPONENTS, len(some) // CELLS_A_COMPONENT, logged.shape[1] - 1)
    if rank < 1 or not (logged.max(axis=0) != logged.min(axis=0)).nnz:
        return themselves
    Z = PCA(rank, svd_solver="arpack", random_state=0).fit_transform(logged)
    search = NearestNeighbors(n_neighbors=NEIGHBOURS, algorithm="brute").fit(Z)
    away, near = search.kneighbors(Z)
    width = np.maximum(away[:, -1], 1e-12)
    closeness = np.exp(-2 * (away / np.minimum(width[:, None], width[near])) ** 2)
    rows, columns = np.repeat(some, NEIGHBOURS), some[near.ravel()]
    others = rows != columns
    weights = closeness.ravel()[others], (rows[others], columns[others])
    return csr_matrix(weights, shape=themselves.shape) + themselves


def averaged(values: np.ndarray, near: csr_matrix, share: float = 1.0) -> np.ndarray:
    """Average values over cells that are alike.

    Parameters
    ----------
    values
        Of each cell, (cells,) or (cells, …).
    near
        As `alike` gives it, (cells, cells).
    share
        Weight of the average beside the cell's own value, 0 to 1.
    """
    totals = np.asarray(near.sum(axis=1)).reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray((1 - share) * values + share * (near @ values) / totals)
