"""A model earns its place by more than noise, or the baseline stands."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix, identity
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
ALONE = identity(len(LABELS), format="csr")


def route(right: float, seed: int) -> np.ndarray:
    """Probabilities that are right in about that share of cells."""
    rng = np.random.default_rng(seed)
    codes = np.searchsorted(CLASSES, LABELS)
    wrong = (codes + rng.integers(1, 3, len(codes))) % 3
    given = np.where(rng.random(len(codes)) < right, codes, wrong)
    return softmax(rng.normal(size=(len(codes), 3)) * 0.1 + 2 * np.eye(3)[given], axis=1)


def chosen(**routes):
    baselines = [name for name in routes if not name.startswith("model")]
    return choose(routes, baselines, CLASSES, LABELS, FOLDS, ALONE)


def test_a_clearly_better_model_is_chosen_and_told_why():
    choice = chosen(pca=route(0.7, 1), model=route(0.95, 2))
    assert "model" in choice.chosen.members
    assert not choice.chosen.baseline
    assert "above the best of the baselines, pca" in choice.why


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


def test_two_that_know_different_cells_are_averaged():
    """Each is sure and right on its half of the cells and guesses on the other, knowing so."""
    sure, unsure = route(0.95, 1), softmax(0.1 * np.log(route(0.4, 2)), axis=1)
    known = (np.arange(600) % 2 == 0)[:, None]
    choice = chosen(
        a=np.where(known, sure, unsure), b=np.where(known, unsure, sure), c=route(0.4, 3)
    )
    assert choice.chosen.members == ("a", "b")
    assert choice.chosen.macro_f1 > 0.9 > max(t.macro_f1 for t in choice.trials if t.name in "abc")
    assert choice.table()[0]["chosen"]
    averages = [trial.members for trial in choice.trials if len(trial.members) > 1]
    assert averages == [("a", "b"), ("a", "c")]


def test_an_average_stands_beside_a_way_that_is_better_by_chance():
    """In company it is right in four cells less and in three more than alone."""
    codes, strong = np.searchsorted(CLASSES, LABELS), route(0.8, 1)
    right = CLASSES[strong.argmax(axis=1)] == LABELS
    rng, like = np.random.default_rng(1), strong.copy()
    lost = rng.choice(np.flatnonzero(right), 4, replace=False)
    gained = rng.choice(np.flatnonzero(~right), 3, replace=False)
    like[lost] = softmax(9 * np.eye(3)[(codes[lost] + 1) % 3], axis=1)
    like[gained] = softmax(9 * np.eye(3)[codes[gained]], axis=1)
    choice = chosen(strong=strong, like=like)
    alone = next(trial for trial in choice.trials if trial.name == "strong")
    assert alone.macro_f1 > choice.chosen.macro_f1
    assert choice.chosen.members == ("strong", "like")
    assert "the best one alone, strong" in choice.why


def test_one_way_is_taken_alone_where_company_spoils_it():
    """The other is sure of itself, and never finds the rare type."""
    rare = np.arange(600) % 10 == 0
    labels = np.where(rare, "delta", np.where(np.arange(600) % 2, "alpha", "beta"))
    codes, rng = np.searchsorted(CLASSES, labels), np.random.default_rng(0)
    steady = np.where(rng.random(600) < 0.8, codes, (codes + 1) % 3)
    blind = np.where(rare, 0, codes)
    answers = {
        name: softmax(4 * np.eye(3)[given], axis=1)
        for name, given in (("steady", steady), ("blind", blind))
    }
    choice = choose(answers, list(answers), CLASSES, labels, FOLDS, ALONE)
    assert choice.chosen.members == ("steady",)
    assert "clearly better than any average" in choice.why


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
    again = choice.chosen.combine(routes, ALONE)
    np.testing.assert_allclose(again, choice.chosen.probabilities)


def test_cells_alike_are_asked_where_that_helps_and_only_there():
    rng = np.random.default_rng(5)
    codes, rows = np.searchsorted(CLASSES, LABELS), np.repeat(np.arange(600), 4)
    anyone = rng.choice(600, (600, 4))
    of_its_type = np.vstack([rng.choice(np.flatnonzero(codes == code), 4) for code in codes])
    by_chance, same_type = (
        csr_matrix((np.ones(2400), (rows, cells.ravel())), (600, 600)) + ALONE
        for cells in (anyone, of_its_type)
    )
    routes = {"pca": route(0.7, 1)}
    alone, misled, helped = (
        choose(routes, ["pca"], CLASSES, LABELS, FOLDS, near).chosen
        for near in (ALONE, by_chance, same_type)
    )
    assert alone.shared == 0
    # a little of any other cell makes a way that is too sure more careful
    assert misled.shared <= 0.25
    assert misled.macro_f1 == pytest.approx(alone.macro_f1, abs=0.01)
    assert helped.shared > 0.5
    assert helped.macro_f1 > alone.macro_f1 + 0.05
    assert helped.ece < alone.ece / 2
    again = helped.combine(routes, same_type)
    np.testing.assert_allclose(again, helped.probabilities)


def test_without_a_baseline_there_is_no_choice():
    with pytest.raises(InputError, match="0 baselines"):
        chosen(model=route(0.9, 1))


def test_labels_of_which_many_are_wrong_are_said_to_be_and_reckoned_with():
    rng = np.random.default_rng(4)
    exchanged = rng.random(len(LABELS)) < 0.3
    codes = np.searchsorted(CLASSES, LABELS) + np.where(exchanged, rng.integers(1, 3, 600), 0)
    given, sure = CLASSES[codes % 3], route(0.99, 1)
    clean = choose({"pca": sure}, ["pca"], CLASSES, LABELS, FOLDS, ALONE)
    wrong = choose({"pca": sure}, ["pca"], CLASSES, given, FOLDS, ALONE)
    assert clean.wrong == 0
    assert clean.doubt() is None
    assert wrong.wrong == pytest.approx(0.3, abs=0.05)
    assert "% of the reference's labels look wrong" in wrong.doubt()["told"]
    sureness = [c.chosen.probabilities.max(axis=1).mean() for c in (clean, wrong)]
    assert sureness[1] > 0.95
    assert sureness[1] == pytest.approx(sureness[0], abs=0.04)
