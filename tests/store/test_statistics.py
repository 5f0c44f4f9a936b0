"""One pass gives what the whole matrix in memory gives."""

import numpy as np
import pytest
from scipy.sparse import vstack

from pancyte.errors import InputError
from pancyte.store import statistics as module
from pancyte.store.corpus import Corpus
from pancyte.store.statistics import statistics


@pytest.fixture(scope="module")
def scaled(corpus):
    """All cells in memory, scaled to 10,000 counts."""
    counts = vstack([slab for _, slab in corpus.slabs(10_000)], format="csr")
    totals = np.asarray(counts.sum(axis=1)).ravel()
    counts.data = counts.data.astype(np.float64) * np.repeat(1e4 / totals, np.diff(counts.indptr))
    return counts.tocsc(), totals


def test_medians_are_within_one_percent(corpus, scaled):
    columns, _ = scaled
    exact = np.array(
        [
            np.median(columns.data[a:b]) if b > a else 1.0
            for a, b in zip(columns.indptr[:-1], columns.indptr[1:], strict=True)
        ]
    )
    found = statistics(corpus).table()["median"]
    assert (np.abs(found / exact - 1) <= module.ACCURACY + 1e-9).all()


def test_detection_mean_and_variance(corpus, scaled):
    columns, totals = scaled
    table = statistics(corpus).table()
    assert np.allclose(table["detection"], np.diff(columns.indptr) / len(totals))
    mean = np.asarray(columns.mean(axis=0)).ravel()
    assert np.allclose(table["mean"], mean)
    square = np.asarray(columns.power(2).mean(axis=0)).ravel()
    assert np.allclose(table["variance"], square - mean**2, atol=1e-6)


def test_depth(corpus, scaled):
    _, totals = scaled
    depth = statistics(corpus).depth((0.1, 0.5, 0.9))
    for quantile, found in depth.items():
        exact = np.quantile(totals, quantile, method="inverted_cdf")
        assert abs(found / exact - 1) <= 0.015


def test_shards_add_up(corpus, monkeypatch):
    whole = statistics(corpus)
    shards = [statistics(corpus, names=[part.name]) for part in corpus.parts]
    total = shards[0] + shards[1] + shards[2]
    assert np.array_equal(total.bins, whole.bins)
    assert np.array_equal(total.depths, whole.depths)
    assert np.allclose(total.sums, whole.sums)
    assert total.cells == whole.cells
    monkeypatch.setattr(module, "SLAB", 37)
    again = statistics(corpus)
    assert np.array_equal(again.bins, whole.bins)
    assert again.table()["median"].equals(whole.table()["median"])


def test_other_features_do_not_add_up(corpus):
    one = statistics(Corpus(corpus.parts[:1]))
    with pytest.raises(InputError, match="other features"):
        one + statistics(corpus)
