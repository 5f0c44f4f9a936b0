"""Rows of memory-mapped CSR arrays, copied together in one compiled pass."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(nogil=True, cache=True, error_model="numpy")
def gather(  # type: ignore[no-untyped-def]
    rows, offsets, ids, values, starts, ids_out, values_out, width
) -> np.ndarray:
    """Copy rows of one dataset to their places in a minibatch, and add up their values.

    Parameters
    ----------
    rows
        Which rows, (rows,).
    offsets, ids, values
        The dataset's CSR arrays.
    starts
        Where in the output each row begins, (rows,).
    ids_out, values_out
        The minibatch's arrays, of the same types or wider ones.
    width
        What `sum_width` says of the output's values.

    Returns
    -------
    Each row's sum, which costs least while the row is in the first-level cache. (rows,) float64.
    """
    sums = np.empty(len(rows), np.float64)
    for at in range(len(rows)):
        low, high = offsets[rows[at]], offsets[rows[at] + 1]
        start = starts[at]
        # slices rather than sums of indices let the compiler use vector instructions
        source, target = ids[low:high], ids_out[start : start + high - low]
        for i in range(source.size):
            target[i] = source[i]
        counts, copies = values[low:high], values_out[start : start + high - low]
        if width == 64:
            whole = np.int64(0)
            for i in range(counts.size):
                copies[i] = counts[i]
                whole += np.int64(counts[i])
            sums[at] = whole
            continue
        for i in range(counts.size):
            copies[i] = counts[i]
        sums[at] = _row_sum(copies, width)
    return sums


@numba.njit(nogil=True, cache=True, error_model="numpy")
def renumber(ids: np.ndarray, starts: np.ndarray, stops: np.ndarray, lookup: np.ndarray) -> None:
    """Replace the ids of some rows of a minibatch, in place, by what a table has for them."""
    for at in range(len(starts)):
        row = ids[starts[at] : stops[at]]
        for i in range(row.size):
            row[i] = lookup[row[i]]


@numba.njit(nogil=True, cache=True)
def count_known(offsets: np.ndarray, ids: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Count each row's ids that a table marks as known. Shape (rows,) int32."""
    found = np.zeros(len(offsets) - 1, np.int32)
    for row in range(len(found)):
        for at in range(offsets[row], offsets[row + 1]):
            found[row] += known[ids[at]]
    return found


@numba.njit(nogil=True, cache=True)
def sort_rows(ids: np.ndarray, values: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> None:
    """Put the ids of some rows of a minibatch into rising order, in place."""
    for at in range(len(starts)):
        low, high = starts[at], stops[at]
        order = np.argsort(ids[low:high], kind="mergesort")
        ids[low:high] = ids[low:high][order]
        values[low:high] = values[low:high][order]


def row_sums(offsets: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Add up each row's values. Shape (rows,) float64."""
    return _sums(offsets, values, sum_width(values.dtype))


def sum_width(dtype: np.dtype) -> int:
    """Say in how many bits numbers of this type can be added up; 0 if they are not whole."""
    if dtype.kind not in "biu":
        return 0
    return 32 if dtype.kind in "bu" and dtype.itemsize <= 2 else 64


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _sums(offsets: np.ndarray, values: np.ndarray, width: int) -> np.ndarray:
    sums = np.empty(len(offsets) - 1, np.float64)
    for row in range(len(sums)):
        sums[row] = _row_sum(values[offsets[row] : offsets[row + 1]], width)
    return sums


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _row_sum(part: np.ndarray, width: int) -> float:
    total = 0.0
    if width == 32:
        # 32 bits hold twice as many sums in a vector register as 64
        for start in range(0, part.size, 1 << 16):
            some, few = part[start : start + (1 << 16)], np.uint32(0)
            for i in range(some.size):
                # without the outer conversion the sum would be widened to 64 bits
                few = np.uint32(few + np.uint32(some[i]))
            total += few
        return total
    if width == 64:
        # a sum of whole numbers needs no conversion to float for each, and has vector instructions
        whole = np.int64(0)
        for i in range(part.size):
            whole += np.int64(part[i])
        return float(whole)
    # four sums at a time: an addition need not wait for the one before it
    a = b = c = d = 0.0
    even = part.size // 4 * 4
    for i in range(0, even, 4):
        a += part[i]
        b += part[i + 1]
        c += part[i + 2]
        d += part[i + 3]
    for i in range(even, part.size):
        total += part[i]
    return (a + b) + (c + d) + total
