"""Rows are copied and added up exactly, whatever the type of their values."""

import numpy as np
import pytest

from pancyte.store.gather import gather, row_sums, sum_width

LENGTHS = np.array([0, 5, 70_003, 0, 3, 1024])
OFFSETS = np.concatenate([[0], np.cumsum(LENGTHS)])


@pytest.fixture(params=[np.uint8, np.uint16, np.int16, np.uint32, np.int64, np.float32, np.float64])
def values(request):
    """Values up to the type's largest, so that sums of a long row overflow 32 bits."""
    kind = np.dtype(request.param)
    top = min(np.iinfo(kind).max, 1 << 24) if kind.kind in "iu" else 1 << 20
    drawn = np.random.default_rng(0).integers(top // 2, top, OFFSETS[-1], endpoint=True)
    drawn[OFFSETS[2] : OFFSETS[3]] = top
    return drawn.astype(kind)


def expected(values):
    return [float(sum(map(int, row))) for row in np.split(values, OFFSETS[1:-1])]


def test_sums_are_exact(values):
    assert row_sums(OFFSETS, values).tolist() == expected(values)


def test_gathered_rows_and_their_sums(values):
    rows = np.array([5, 2, 0, 1])
    ids = np.arange(len(values), dtype=np.uint32)
    starts = np.concatenate([[0], np.cumsum(LENGTHS[rows])])
    ids_out, copied = np.empty(starts[-1], np.uint32), np.empty(starts[-1], values.dtype)
    width = sum_width(values.dtype)
    sums = gather(rows, OFFSETS, ids, values, starts[:-1], ids_out, copied, width)
    wanted = np.concatenate([np.arange(OFFSETS[row], OFFSETS[row + 1]) for row in rows])
    assert (ids_out == wanted).all()
    assert (copied == values[wanted]).all()
    assert sums.tolist() == [expected(values)[row] for row in rows]
