"""A few labelled cells of each type, the same few and some more, and models that learn them."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from pancyte.benchmark.benchmark import benchmark
from pancyte.models.card import Card
from pancyte.models.model import Model
from pancyte.tasks.adapted import Adapted
from pancyte.tasks.annotation import Annotation
from pancyte.tasks.baselines import PCA, PCAOfAll
from pancyte.tasks.few_shot import SHOTS, FewShot, shots_of
from pancyte.tokenizers.continuous import ContinuousTokenizer
from pancyte.tokenizers.tokenizer import TokenizerConfig


@pytest.fixture(scope="module")
def chosen(dataset):
    return replace(dataset, held_out=("Muraro 2016",))


@pytest.fixture(scope="module")
def model(cells):
    return Model.create(
        ContinuousTokenizer(TokenizerConfig(max_length=32)).fit(cells),
        backbone={"name": "transformer", "config": {"depth": 1, "width": 16}},
        objective={"name": "masked_value"},
        card=Card("tiny"),
        seed=0,
    )


def test_more_cells_are_the_same_and_others(chosen):
    splits = list(FewShot().splits(chosen, [0]))
    assert tuple(shots_of(split.fold) for split in splits) == SHOTS
    whole = next(Annotation().splits(chosen, [0]))
    most = np.unique(whole.reference_labels, return_counts=True)[1]
    for split, shots in zip(splits, SHOTS, strict=True):
        types, counts = np.unique(split.reference_labels, return_counts=True)
        assert counts.tolist() == np.minimum(shots, most).tolist()
        assert set(types) == set(splits[-1].reference_labels)
        np.testing.assert_array_equal(split.query_rows, splits[0].query_rows)
    for fewer, more in pairwise(splits):
        assert set(fewer.reference_rows) < set(more.reference_rows)
    (other,) = [s for s in FewShot().splits(chosen, [1]) if shots_of(s.fold) == 1]
    assert set(other.reference_rows) != set(splits[0].reference_rows)


def test_components_of_all_cells_know_the_query_too(chosen):
    first, *_, last = FewShot().splits(chosen, [0])
    few, asked = PCAOfAll().embed(first.reference, first.query, batch_key=None, seed=0)
    assert few.shape[1] == asked.shape[1] == 50
    assert PCA().embed(first.reference, first.query, batch_key=None, seed=0)[0].shape[1] < 14
    again, _ = PCAOfAll().embed(last.reference, last.query, batch_key=None, seed=0)
    assert again.shape == (len(last.reference), 50)


def test_a_model_that_learns_the_labels_is_asked_beside_the_baselines(chosen, model, monkeypatch):
    monkeypatch.setattr("pancyte.tasks.few_shot.SHOTS", (1, 5))
    monkeypatch.setattr(FewShot, "baselines", lambda self, dataset: ("pca-all",))
    methods = [model, Adapted(model, "lora", epochs=1)]
    results = benchmark(methods, tasks=[FewShot()], datasets=[chosen], seeds=[0])
    assert not results.failed, results.errors
    table = results.table
    assert set(table["method"]) == {"tiny", "lora(tiny)", "pca-all"}
    assert set(map(shots_of, table["split"])) == {1, 5}
    score = table[table["metric"] == "macro_f1"].set_index(["method", "adaptation", "split"])
    one = "Muraro 2016 | 1 cell"
    lora, linear = score.loc["lora(tiny)", "direct", one], score.loc["tiny", "logistic", one]
    assert lora["value"] == pytest.approx(linear["value"], abs=1e-6)
