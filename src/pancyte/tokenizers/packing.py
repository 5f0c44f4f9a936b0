"""Row-wise work on CSR blocks, compiled: medians, ordering, truncation."""

from __future__ import annotations

import numba
import numpy as np
from scipy.sparse import csr_matrix


@numba.njit(parallel=True, cache=True)
def _column_medians(offsets: np.ndarray, values: np.ndarray) -> np.ndarray:
    medians = np.ones(len(offsets) - 1, np.float64)
    for column in numba.prange(len(medians)):
        start, stop = offsets[column], offsets[column + 1]
        if stop > start:
            medians[column] = np.median(values[start:stop])
    return medians


def nonzero_medians(normalised: csr_matrix) -> np.ndarray:
    """Median of each column's non-zero values; 1 where a column has none. Shape (features,)."""
    columns = normalised.tocsc()
    return _column_medians(columns.indptr, columns.data.astype(np.float64))


@numba.njit(parallel=True, cache=True)
def _ranked(offsets: np.ndarray, scores: np.ndarray, kept: np.ndarray, by_rank: bool) -> np.ndarray:
    positions = np.empty(kept[-1], np.int64)
    for row in numba.prange(len(offsets) - 1):
        start, stop = offsets[row], offsets[row + 1]
        length = kept[row + 1] - kept[row]
        if length == stop - start and not by_rank:
            chosen = np.arange(length)
        else:
            chosen = np.argsort(-scores[start:stop], kind="mergesort")[:length]
            if not by_rank:
                chosen = np.sort(chosen)
        positions[kept[row] : kept[row + 1]] = chosen + start
    return positions


def top_positions(
    offsets: np.ndarray, scores: np.ndarray, max_length: int, *, by_rank: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Choose each row's `max_length` highest scores, ties to the lower feature id.

    Parameters
    ----------
    offsets
        CSR row offsets, (rows + 1,).
    scores
        One score per stored value, (values,).
    max_length
        How many values a row may keep.
    by_rank
        Order the chosen by falling score; otherwise keep their order in the row.

    Returns
    -------
    positions, offsets
        Positions into `scores`, and the offsets of the shortened rows.
    """
    lengths = np.minimum(np.diff(offsets), max_length)
    kept = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return _ranked(offsets.astype(np.int64), scores, kept, by_rank), kept
