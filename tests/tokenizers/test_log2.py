import numpy as np
import pytest

from pancyte.errors import UsageError
from pancyte.tokenizers.log2 import Log2Config, Log2Tokenizer


def test_bins_are_those_of_the_formula(cells):
    tokenizer = Log2Tokenizer(Log2Config(max_length=100_000)).fit(cells)
    tokens = tokenizer(cells)
    names = tokenizer.vocabulary.table.index
    dense = cells.counts.toarray()[:, cells.features.index.get_indexer(names)]
    totals = np.asarray(cells.counts.sum(axis=1), float).ravel()
    scaled = dense * (1e4 / totals)[:, None]
    rows, ids = tokens.cell_index.numpy(), tokens.ids.numpy()
    expected = np.minimum(np.floor(np.log2(1 + scaled)), 5)
    np.testing.assert_array_equal(tokens.values.numpy(), expected[rows, ids])
    assert set(np.unique(tokens.values.numpy())) <= set(range(6))
    assert len(ids) == (dense > 0).sum()


def test_powers_of_two_are_exact():
    """log2(2³⁰ · 2) may come out below 31; the bin must not."""
    tokenizer = Log2Tokenizer(Log2Config(highest=60))
    below = 2.0 ** np.arange(1, 53) - 1
    expected = np.arange(1, 53)
    found = tokenizer.values(below, np.array([0, len(below)]))
    np.testing.assert_array_equal(found, expected)


def test_the_last_bin_is_open_and_there_must_be_one():
    values = Log2Tokenizer(Log2Config(highest=3)).values(
        np.array([0.5, 7.0, 1e6]), np.array([0, 3])
    )
    assert values.tolist() == [0, 3, 3]
    with pytest.raises(UsageError, match="highest"):
        Log2Config(highest=0)
