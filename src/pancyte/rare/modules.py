"""Groups of a few cells, from genes that are read in the same few cells."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from pancyte.rare.ground import Ground
from pancyte.rare.residuals import residuals, variances

GENES = 1000
COMMON = 0.1
"""Genes that more than this part of the cells express mark no rare group."""
LEAST_CORRELATION = 0.15
LEAST_GENES = 3
CLOSER = 40
SURPRISE = 9.0
"""A cell has a module if its reads of it are e⁹ times likelier at the rate of its best cells."""


def module_groups(ground: Ground, *, fewest: int, most: int) -> list[np.ndarray]:
    """Find cells that share reads of genes which hardly any other cell has.

    Components of all cells do not hold what three of them share, and no clustering of cells then
    finds them; but their markers are correlated (Wegmann et al. 2019, CellSIUS, Genome Biol.
    20:142). Rarely read genes are joined by the correlation of their residuals (average linkage),
    and each branch of at least three genes gives the cells that have more of it than chance.

    Returns
    -------
    Rows of each group, sorted.
    """
    from scipy.cluster.hierarchy import linkage

    cells = len(ground.depth)
    sparse = csr_matrix(ground.counts)
    seen = sparse.getnnz(axis=0)
    spread = np.where((seen >= fewest) & (seen <= COMMON * cells), variances(sparse), 0)
    chosen = np.argsort(-spread, kind="stable")[:GENES]
    chosen = np.sort(chosen[spread[chosen] > 0])
    if len(chosen) < LEAST_GENES:
        return []
    R = residuals(sparse, chosen)
    R -= R.mean(axis=0)
    R /= np.linalg.norm(R, axis=0) + 1e-12
    likeness = np.clip(R.T @ R, -1, 1)
    above = np.triu_indices(len(chosen), 1)
    joins = linkage(1 - likeness[above], method="average")
    return _groups(ground, chosen, joins, fewest=fewest, most=most)


def _groups(
    ground: Ground, genes: np.ndarray, joins: np.ndarray, *, fewest: int, most: int
) -> list[np.ndarray]:
    reads = list(ground.counts[:, genes].T.astype(np.float32))
    kinds = [(column > 0).astype(np.int16) for column in reads]
    found: dict[bytes, tuple[float, np.ndarray]] = {}
    for left, right, distance, size in joins:
        pair = int(left), int(right)
        reads.append(reads[pair[0]] + reads[pair[1]])
        kinds.append(kinds[pair[0]] + kinds[pair[1]])
        if size < LEAST_GENES or distance > 1 - LEAST_CORRELATION:
            continue
        rows, weight = _having(ground, reads[-1], kinds[-1])
        if fewest <= len(rows) <= most:
            found[rows.tobytes()] = (weight, rows)
    best = sorted(found.values(), key=lambda one: -one[0])[:CLOSER]
    return [rows for _, rows in best]


def _having(ground: Ground, reads: np.ndarray, kinds: np.ndarray) -> tuple[np.ndarray, float]:
    """Cells with more reads of a module, and of at least two of its genes, than chance gives."""
    usual = ground.depth * (reads.sum() / ground.depth.sum()) + 1e-9
    surprise = reads * np.log(np.maximum(reads, 1) / usual) - (reads - usual)
    rows = np.flatnonzero((kinds >= 2) & (reads > usual) & (surprise > SURPRISE))
    return rows, float(surprise[rows].sum() / np.sqrt(max(len(rows), 1)))
