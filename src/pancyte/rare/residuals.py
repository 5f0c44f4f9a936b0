"""How far each count is from what depth alone would give, and components of that."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

THETA = 100.0
FEWEST_CELLS = 2


def variances(counts: csr_matrix) -> np.ndarray:
    """Variance of each gene's Pearson residuals, about 1 for a gene that only follows depth.

    Residuals are clipped at the root of the number of cells (Lause, Berens & Kobak 2021, Genome
    Biol. 22:258). A gene that three cells alone express keeps a large variance, which a dispersion
    of log-normalised values would lose; that is why rare cells are looked for here.

    Parameters
    ----------
    counts
        (cells, genes).

    Returns
    -------
    (genes,); 0 for genes that fewer than two cells express.
    """
    depth, share = _expected(counts)
    cells = counts.shape[0]
    rows = np.repeat(np.arange(cells), np.diff(counts.indptr))
    mean = depth[rows] * share[counts.indices]
    scale = np.sqrt(mean + mean**2 / THETA)
    above = np.clip((counts.data - mean) / scale, None, np.sqrt(cells)) ** 2
    absent = mean**2 / scale**2
    whole = depth.sum() * share / (1 + depth.mean() * share / THETA)
    total = whole + np.bincount(counts.indices, above - absent, minlength=counts.shape[1])
    return np.where(counts.getnnz(axis=0) >= FEWEST_CELLS, total / cells, 0.0)


def residuals(counts: csr_matrix, genes: np.ndarray) -> np.ndarray:
    """Pearson residuals of some genes, clipped at the root of the number of cells.

    Returns
    -------
    (cells, genes), float32.
    """
    depth, share = _expected(counts)
    mean = np.outer(depth, share[genes]).astype(np.float32)
    scale = np.sqrt(mean + mean**2 / THETA) + 1e-12
    limit = np.sqrt(counts.shape[0])
    return np.clip((counts[:, genes].toarray() - mean) / scale, -limit, limit)


def components(
    counts: csr_matrix, *, genes: int, rank: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Principal components of the residuals of the most variable genes.

    Returns
    -------
    vectors, residual
        (cells, at most rank), and the share of each cell's variation that they leave out, (cells,).
    """
    from sklearn.decomposition import PCA

    spread = variances(counts)
    chosen = np.sort(np.argsort(-spread, kind="stable")[: min(genes, (spread > 0).sum())])
    X = residuals(counts, chosen)
    rank = max(1, min(rank, min(X.shape) - 1))
    fitted = PCA(rank, svd_solver="randomized", iterated_power=3, random_state=seed)
    Z = fitted.fit_transform(X)
    whole = ((X - X.mean(axis=0)) ** 2).sum(axis=1)
    return Z, 1 - (Z**2).sum(axis=1) / np.maximum(whole, 1e-12)


def _expected(counts: csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    depth = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    genes = np.asarray(counts.sum(axis=0), dtype=np.float64).ravel()
    return depth, genes / max(genes.sum(), 1.0)
