"""A model earns its place by more than noise, or the baseline stands."""

import numpy as np
import pytest
from scipy.special import softmax

from pancyte.deciding.choice import choose
from pancyte.deciding.folds import Folds
from pancyte.errors import InputError
from pancyte.metrics.classification import accuracy, macro_f1

CLASSES = np.array(["alpha", "beta", "delta"])
RNG = np.random.default_rng(0)
LABELS = RNG.choice(CLASSES, size=600)
DONORS = np.repeat([f"donor {i}" for i in range(10)], 60)
FOLDS = Folds(np.repeat(np.arange(5), 120), DONORS, "donor", "")


def route(right: float, seed: int) -> np.ndarray:
    """Probabilities that are right in about that share of cells."""
    rng = np.random.default_rng(seed)
    codes = np.searchsorted(CLASSES, LABELS)
    wrong = (codes + rng.integers(1, 3, len(codes))) % 3
    given = np.where(rng.random(len(codes)) < right, codes, wrong)
    return softmax(rng.normal(size=(len(codes), 3)) * 0.1 + 2 * np.eye(3)[given], axis=1)


def chosen(**routes):
    baselines = [name for name in routes if not name.startswith("model")]
    return choose(routes, baselines, CLASSES, LABELS, FOLDS)


def test_a_clearly_better_model_is_chosen_and_told_why():
    choice = chosen(pca=route(0.7, 1), model=route(0.95, 2))
    assert "model" in choice.chosen.members
    assert not choice.chosen.baseline
    assert "above the best baseline, pca" in choice.why


@pytest.mark.parametrize("seed", range(5))
def test_a_model_that_is_no_better_than_noise_is_not(seed):
    """It is right where the baseline is not in 10 cells and the other way round in 8."""
    simple = route(0.8, seed)
    right = CLASSES[simple.argmax(axis=1)] == LABELS
    rng, codes = np.random.default_rng(seed), np.searchsorted(CLASSES, LABELS)
    gained = rng.choice(np.flatnonzero(~right), 10, replace=False)
    lost = rng.choice(np.flatnonzero(right), 8, replace=False)
    model = simple.copy()
    model[gained] = np.eye(3)[codes[gained]]
    model[lost] = np.eye(3)[(codes[lost] + 1) % 3]
    choice = chosen(pca=simple, model=model)
    assert next(trial for trial in choice.trials if trial.name == "model").behind < 0
    assert choice.chosen.name == "pca"
    assert "the baseline stands" in choice.why


def test_an_average_of_baselines_can_win():
    choice = chosen(a=route(0.75, 1), b=route(0.75, 2), c=route(0.75, 3))
    assert choice.chosen.name.startswith("average of")
    assert choice.chosen.macro_f1 > max(t.macro_f1 for t in choice.trials if len(t.members) == 1)
    assert choice.table()[0]["chosen"]


def test_scores_and_noise_are_those_of_an_independent_count():
    choice = chosen(pca=route(0.8, 1), lasso=route(0.7, 2))
    trials = {trial.name: trial for trial in choice.trials}
    answer = {name: CLASSES[trials[name].probabilities.argmax(axis=1)] for name in ("pca", "lasso")}
    assert trials["pca"].macro_f1 == pytest.approx(macro_f1(LABELS, answer["pca"]))
    assert trials["pca"].accuracy == pytest.approx(accuracy(LABELS, answer["pca"]))
    best = CLASSES[choice.chosen.probabilities.argmax(axis=1)]
    rng, gaps = np.random.default_rng(5), []
    for _ in range(100):
        rows = rng.integers(600, size=600)
        drawn = (macro_f1(LABELS[rows], guess[rows]) for guess in (best, answer["lasso"]))
        gaps.append(next(drawn) - next(drawn))
    assert trials["lasso"].noise >= 0.7 * np.std(gaps)
    assert trials["lasso"].noise <= 2 * np.std(gaps)


def test_combine_gives_back_the_held_out_probabilities():
    routes = {"a": route(0.75, 1), "b": route(0.75, 2)}
    choice = chosen(**routes)
    np.testing.assert_allclose(choice.chosen.combine(routes), choice.chosen.probabilities)


def test_without_a_baseline_there_is_no_choice():
    with pytest.raises(InputError, match="0 baselines"):
        chosen(model=route(0.9, 1))
