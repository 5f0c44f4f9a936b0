"""The compiled order against a stable merge sort, cell by cell."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pancyte.corpus.cells import to_cells
from pancyte.tokenizers.continuous import ContinuousTokenizer
from pancyte.tokenizers.packing import Rows, totals_of
from pancyte.tokenizers.radix import radix_sort, ranking, scratch
from pancyte.tokenizers.rank import RankTokenizer
from pancyte.tokenizers.tokenizer import TokenizerConfig


def merged(scores, length):
    """Positions of the highest scores, as a stable sort of the negated ones gives them."""
    return np.argsort(-scores, kind="mergesort")[:length]


def sorted_places(scores):
    ends = np.array([0, len(scores)])
    order = np.empty(len(scores), np.uint32)
    ranking(scores, len(scores), scratch(ends[:-1], ends[1:]), order)
    return order.astype(int)


@pytest.fixture(scope="module")
def rows(pancreas):
    """Whole-transcriptome cells of all studies, from shallow to deep."""
    counts = to_cells(pancreas[::20].copy()).counts
    totals = totals_of(counts.indptr[:-1], counts.indptr[1:], counts.data)
    assert (totals == np.asarray(counts.sum(axis=1)).ravel()).all()
    starts, stops = counts.indptr[:-1].astype(np.int64), counts.indptr[1:].astype(np.int64)
    return Rows(counts.indices, counts.data, starts, stops, 1e4 / totals)


@pytest.fixture(scope="module")
def medians(rows):
    return np.random.default_rng(0).lognormal(size=rows.ids.max() + 1)


def scores(rows, medians, row):
    here = slice(rows.starts[row], rows.stops[row])
    return (rows.counts[here] * rows.scale[row] / medians[rows.ids[here]]).astype(np.float32)


@pytest.mark.parametrize("max_length", [1, 300, 2048, 10**6])
def test_ranked_equals_merge_sort(rows, medians, max_length):
    ids, places, offsets = rows.ranked(medians, max_length)
    for row, start in enumerate(rows.starts):
        expected = start + merged(scores(rows, medians, row), max_length)
        here = slice(offsets[row], offsets[row + 1])
        assert (ids[here] == rows.ids[expected]).all()
        assert (places[here] == np.arange(len(expected))).all()


@pytest.mark.parametrize("max_length", [1, 300, 2048])
def test_top_equals_merge_sort(rows, medians, max_length):
    positions, offsets = rows.top(medians, max_length)
    for row, start in enumerate(rows.starts):
        expected = start + np.sort(merged(scores(rows, medians, row), max_length))
        assert (positions[offsets[row] : offsets[row + 1]] == expected).all()


def test_equal_medians_leave_many_ties(rows):
    """With one median for all genes, counts of 1 tie by the thousand and keep the order of ids."""
    flat = np.ones(rows.ids.max() + 1)
    ids, _, offsets = rows.ranked(flat, 2048)
    for row, start in enumerate(rows.starts):
        expected = rows.ids[start + merged(scores(rows, flat, row), 2048)]
        assert (ids[offsets[row] : offsets[row + 1]] == expected).all()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(2.0**-120, 2.0**120, width=32), max_size=300))
def test_any_scores(values):
    given_scores = np.array(values, np.float32)
    assert (sorted_places(given_scores) == merged(given_scores, len(values))).all()


NEAR = 1 + np.arange(5000) * 2.0**-23
HARD = {
    "all equal": lambda rng: np.full(5000, 0.3),
    "rising": lambda rng: np.arange(1, 5001),
    "falling": lambda rng: np.arange(5000, 0, -1),
    "rising in the last bits, one far above": lambda rng: np.r_[NEAR, 1e30],
    "rising in the last bits, one far below": lambda rng: np.r_[1e-30, NEAR],
    "two in turn, and the largest float": lambda rng: np.r_[np.tile([1.5, 1.25], 4000), 3.4e38],
    "forty octaves": lambda rng: 2.0 ** rng.uniform(-20, 20, 30_000),
    "small fractions": lambda rng: rng.integers(1, 9, 9000) / rng.integers(1, 9, 9000),
    "longer than sixteen bits": lambda rng: rng.lognormal(size=80_000),
}


@pytest.mark.parametrize("kind", HARD)
def test_hard_scores(kind):
    """Scores that leave nothing to the upper bits, or all of it, or tie."""
    given_scores = HARD[kind](np.random.default_rng(0)).astype(np.float32)
    assert (sorted_places(given_scores) == merged(given_scores, len(given_scores))).all()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=400), st.integers(0, 100))
def test_neighbouring_scores_and_an_outlier(steps, octaves):
    """Scores a few of the smallest steps apart, whose upper bits the outlier makes the same."""
    near = 1 + np.array(steps) * 2.0**-23
    given_scores = np.r_[near, 2.0**octaves].astype(np.float32)
    assert (sorted_places(given_scores) == merged(given_scores, len(given_scores))).all()


@pytest.mark.parametrize("bits", [1, 10, 11, 12, 22, 23, 32])
def test_radix_sort_of_any_width(bits):
    rng = np.random.default_rng(bits)
    upper = rng.integers(0, 2**bits, 5000, dtype=np.uint64)
    keys = upper << np.uint64(32) | np.arange(5000, dtype=np.uint64)
    ends = np.array([0, 5000])
    _, spare, tallies = scratch(ends[:-1], ends[1:])
    assert (radix_sort(keys.copy(), spare, 5000, bits, tallies) == np.sort(keys)).all()


@pytest.mark.parametrize("kind", [ContinuousTokenizer, RankTokenizer])
def test_threads_do_not_matter(kind, cells):
    tokenizer = kind(TokenizerConfig(max_length=100)).fit(cells)
    tokenise = tokenizer.aligned(cells.features)
    arrays = cells.counts.indptr, cells.counts.indices, cells.counts.data
    alone = tokenise(*arrays)
    with ThreadPoolExecutor(4) as pool:
        for tokens in pool.map(lambda _: tokenise(*arrays), range(16)):
            assert tokens.ids.equal(alone.ids)
            assert tokens.values.equal(alone.values)
