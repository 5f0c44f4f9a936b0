"""Binned values against the published algorithm, written down cell by cell with numpy."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_matrix

from pancyte.corpus.cells import to_cells
from pancyte.errors import UsageError
from pancyte.shapes import Cells
from pancyte.tokenizers.binning import quantile_bins
from pancyte.tokenizers.bins import BinsConfig, BinsTokenizer
from pancyte.tokenizers.packing import Rows


def digits(values, bins):
    """Edges below a value, and edges below or equal."""
    edges = np.quantile(values, np.linspace(0, 1, bins - 1))
    return np.digitize(values, edges, right=True), np.digitize(values, edges)


def drawn(values, bins, uniforms):
    """scGPT's rule: one of the bins between the two digits, by a uniform number."""
    right, left = digits(values, bins)
    return np.ceil(uniforms * (right - left) + left)


def middle(values, bins):
    right, left = digits(values, bins)
    return (right + 1 + left) // 2


def rows_of(counts):
    totals = np.asarray(counts.sum(axis=1), float).ravel()
    starts, stops = counts.indptr[:-1].astype(np.int64), counts.indptr[1:].astype(np.int64)
    return Rows(counts.indices, counts.data, starts, stops, 1e4 / totals)


def logged(rows, row):
    here = slice(rows.starts[row], rows.stops[row])
    return here, np.log1p(rows.counts[here] * rows.scale[row])


@pytest.fixture(scope="module")
def counts(pancreas):
    """Whole cells of all studies, with counts from 1 to tens of thousands."""
    counts = to_cells(pancreas[::20].copy()).counts
    assert counts.data.max() > 10_000
    return counts


@pytest.mark.parametrize("bins", [3, 51, 200])
def test_drawn_bins_are_the_published_ones(counts, bins):
    rows = rows_of(counts)
    uniforms = np.random.default_rng(0).random(counts.nnz)
    found = quantile_bins(rows, bins, uniforms)
    for row in range(counts.shape[0]):
        here, values = logged(rows, row)
        assert (found[here] == drawn(values, bins, uniforms[here])).all()


@pytest.mark.parametrize("scale", [1.0, 1 / 3])
def test_middle_bins(counts, scale):
    """Also where counts are fractions, as ambient correction leaves them."""
    rows = rows_of((counts[::10] * np.float32(scale)).tocsr())
    found = quantile_bins(rows, 51)
    for row in range(len(rows.starts)):
        here, values = logged(rows, row)
        assert (found[here] == middle(values, 51)).all()


@pytest.mark.parametrize("kept", [1, 2, 3, 49, 50, 51, 99])
def test_short_cells(counts, kept):
    """Few genes, so that quantiles fall on values and edges coincide."""
    data, ends = [], [0]
    for row in range(0, counts.shape[0], 5):
        data.append(counts.data[counts.indptr[row] :][:kept])
        ends.append(ends[-1] + kept)
    short = csr_matrix((np.concatenate(data), np.tile(np.arange(kept), len(data)), ends))
    rows = rows_of(short)
    uniforms = np.random.default_rng(1).random(short.nnz)
    found = quantile_bins(rows, 51, uniforms)
    for row in range(short.shape[0]):
        here, values = logged(rows, row)
        assert (found[here] == drawn(values, 51, uniforms[here])).all()


def test_tokens_carry_the_bins_of_the_whole_cell(cells):
    """Bins are taken before truncation, and stay with their genes."""
    whole = BinsTokenizer(BinsConfig(max_length=10**6)).fit(cells)
    short = BinsTokenizer(BinsConfig(max_length=32), whole.vocabulary)
    everything, few = whole(cells), short(cells)
    assert int(few.lengths.max()) == 32
    for row in range(len(cells)):
        one, two = (t.select(torch.tensor([row])) for t in (everything, few))
        bins = dict(zip(one.ids.tolist(), one.values.tolist(), strict=True))
        assert [bins[i] for i in two.ids.tolist()] == two.values.tolist()
        assert one.values.min() >= 1
        assert one.values.max() <= 50


def test_a_known_cell():
    """By hand: four counts, edges at 1, 2, 3 and 4 thirds of the way, one value on each."""
    names = pd.DataFrame(index=pd.Index(["INS", "GCG", "SST", "PPY"]))
    cells = Cells(csr_matrix(np.array([[1, 2, 3, 4]])), names, pd.DataFrame(index=["a"]))
    tokens = BinsTokenizer(BinsConfig(bins=5)).fit(cells)(cells)
    assert tokens.values.tolist() == [1, 2, 3, 4]


def test_random_ties_depend_on_seed_and_cell_only(cells):
    fitted = BinsTokenizer(BinsConfig(ties="random")).fit(cells)
    again = BinsTokenizer(BinsConfig(ties="random"), fitted.vocabulary)
    other = BinsTokenizer(BinsConfig(ties="random", seed=1), fitted.vocabulary)
    order = np.random.default_rng(0).permutation(len(cells))
    tokens = fitted(cells)
    assert torch.equal(tokens.values, again(cells).values)
    assert not torch.equal(tokens.values, other(cells).values)
    permuted = tokens.select(torch.from_numpy(order))
    assert torch.equal(permuted.values, fitted(cells.select(order)).values)


def test_random_ties_are_uniform(counts):
    """Counts of 1 spread evenly over the bins they fill, and no cell is like the next."""
    rows = rows_of(counts)
    tokenizer = BinsTokenizer(BinsConfig(ties="random", seed=3))
    uniforms = tokenizer.uniforms(rows)
    shares, _ = np.histogram(uniforms, 20, (0, 1))
    assert abs(shares / len(uniforms) - 0.05).max() < 5 * np.sqrt(0.05 / len(uniforms))
    firsts = uniforms[rows.starts]
    assert len(np.unique(firsts)) == len(firsts)
    assert abs(np.corrcoef(uniforms[:-1], uniforms[1:])[0, 1]) < 5 / np.sqrt(len(uniforms))


@pytest.mark.parametrize("wrong", [{"bins": 2}, {"ties": "left"}, {"seed": -1}])
def test_impossible_settings(wrong):
    with pytest.raises(UsageError, match="Give"):
        BinsConfig(**wrong)
