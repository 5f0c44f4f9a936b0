"""The model that comes with the package: whole, small, offline, and of some use on unseen cells."""

import numpy as np
import pytest

import pancyte as pan
from pancyte.adaptation.probe import KNNProbe
from pancyte.corpus.cells import to_cells
from pancyte.corpus.datasets import load_dataset
from pancyte.models.load import SHIPPED, shipped

HELD_OUT = ("pancreas_4studies", "demo", "kang", "pbmc3k", "sc_mixology")


@pytest.fixture(scope="module")
def mini():
    return pan.load("pancyte-mini")


def test_it_is_listed_and_small():
    assert shipped() == ["pancyte-mini"]
    size = sum(path.stat().st_size for path in (SHIPPED / "pancyte-mini").iterdir())
    assert size <= 20 * 2**20


def test_its_card_says_what_it_saw_and_how_it_did(mini):
    names = [item["name"] for item in mini.card.trained_on]
    assert names
    assert not [name for name in names if name.startswith(HELD_OUT)]
    assert all(item["licence"] not in ("", "unknown") for item in mini.card.trained_on)
    assert mini.card.licence
    assert mini.card.limits
    assert any("harmony" in row["baseline"] for row in mini.card.metrics)


def test_it_tells_types_of_unseen_studies_apart(mini):
    cells = to_cells(load_dataset("demo-pancreas"), name="demo")
    cells = cells.select(np.arange(0, len(cells), 4))
    vectors = mini.embed(cells)
    assert vectors.shape == (len(cells), mini.backbone.width)
    again = mini.embed(cells.select(np.arange(50)))
    np.testing.assert_allclose(again, vectors[:50], atol=1e-5)
    types = cells.obs["cell_type"].astype(str).to_numpy()
    query = (cells.obs["study"] == "Muraro 2016").to_numpy()
    probe = KNNProbe().fit(vectors[~query], types[~query])
    guess = probe.classes_[probe.predict_proba(vectors[query]).argmax(axis=1)]
    assert (guess == types[query]).mean() > 0.8
