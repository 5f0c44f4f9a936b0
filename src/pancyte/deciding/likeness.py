"""Which cells of a query are like each other, so that what is asked of one is asked of all."""

from __future__ import annotations

import numpy as np
from scipy.sparse import block_diag, csr_matrix, identity

from pancyte.tasks.expression import GENES, log_normalised, variable

COMPONENTS, CELLS_A_COMPONENT = 30, 5
NEIGHBOURS, FEWEST, MOST = 15, 50, 20_000


def alike(
    counts: csr_matrix,
    groups: np.ndarray | None = None,
    *,
    at_most: int = MOST,
    seed: int = 0,
) -> csr_matrix:
    """Say how alike cells that were measured together are, whatever the reference knows.

    Counts of one cell are few. What is strange about it by chance is not so in the cells next to
    it, while these are nearly always of its type.

    Parameters
    ----------
    counts
        Of the cells, (cells, genes), raw.
    groups
        Which cells were measured together, (cells,); all of them if not given.
    at_most
        Larger groups are dealt into parts of so many cells, and only cells of a part are compared.
    seed
        Seed of the dealing.

    Returns
    -------
    (cells, cells): 1 for the cell itself, and for its 14 nearest cells on principal components
    ``exp(-2 (distance / width)**2)``, where the width is how far the 14th is from the one of the
    two for which that is less. So a cell apart from all others hardly counts them. Of fewer than
    50 cells each is like itself only, as is a cell without counts.
    """
    cells, rng = counts.shape[0], np.random.default_rng(seed)
    together = np.zeros(cells, dtype=int) if groups is None else np.asarray(groups)
    parts = []
    for group in np.unique(together):
        rows = np.flatnonzero(together == group)
        dealt = -(-len(rows) // at_most)
        parts += np.array_split(rng.permutation(rows) if dealt > 1 else rows, dealt)
    found = block_diag([_within(counts[part]) for part in parts], format="csr")
    back = np.argsort(np.concatenate(parts))
    return found[back][:, back]


def _within(counts: csr_matrix) -> csr_matrix:
    from sklearn.decomposition import PCA
    from sklearn.neighbors import NearestNeighbors

    themselves = identity(counts.shape[0], format="csr")
    some = np.flatnonzero(counts.getnnz(axis=1))
    if len(some) < FEWEST:
        return themselves
    totals = np.asarray(counts[some].sum(axis=1), dtype=np.float64).ravel()
    logged = log_normalised(counts[some], totals)
    # scanpy would take the logarithm of 0 for genes that do not vary
    logged = logged[:, (logged.max(axis=0) != logged.min(axis=0)).toarray().ravel()]
    if logged.shape[1] < 2:
        return themselves
    logged = logged[:, variable(logged, GENES)]
    rank = min(COMPONENTS, len(some) // CELLS_A_COMPONENT, logged.shape[1] - 1)
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
