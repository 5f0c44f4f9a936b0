"""The promise is kept on exchangeable scores, within what chance allows."""

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import binom, kstest

from pancyte.deciding.conformal import (
    against_held_out,
    held_out_p_values,
    label_p_values,
    label_sets,
    nonconformity,
    p_values,
    with_best,
)
from pancyte.errors import UsageError


def simulated(cells: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are wrong on purpose: the promise does not need them to be right."""
    rng = np.random.default_rng(seed)
    codes = rng.choice(5, size=cells, p=[0.4, 0.3, 0.15, 0.1, 0.05])
    logits = rng.normal(size=(cells, 5))
    logits[np.arange(cells), codes] += 1.5
    return softmax(3 * logits, axis=1), codes


def own(scores, codes):
    return scores[np.arange(len(codes)), codes]


def by_one(known, true, asked, *, kind="lac", **options):
    """All cells held out together, and one answer for the new ones."""
    calibration = own(nonconformity(known, kind=kind), true)
    strange = {0: nonconformity(asked, kind=kind)}
    return label_p_values(calibration, np.zeros(len(true)), strange, **options)


@pytest.mark.parametrize("kind", ["lac", "aps", "raps"])
@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_coverage_is_nominal_within_binomial_error(kind, alpha):
    """Over fresh calibration and test cells; each repeat covers Beta-distributed shares."""
    covered = tested = 0
    for repeat in range(60):
        known, codes = simulated(400, 2 * repeat)
        asked, truth = simulated(400, 2 * repeat + 1)
        kept = label_sets(by_one(known, codes, asked, kind=kind), alpha)
        covered, tested = covered + own(kept, truth).sum(), tested + len(truth)
    # calibration and test sets of n cells each: the share's variance is about twice a binomial's
    error = 4 * np.sqrt(2 * alpha * (1 - alpha) / tested)
    assert 1 - alpha - error <= covered / tested <= 1 - alpha + 1 / 401 + error


def test_the_bound_is_the_textbook_order_statistic():
    scores, asked = np.arange(1, 20) / 20, np.array([[0.9], [0.901], [0.95], [0.951]])
    found = label_p_values(scores, np.zeros(19), {0: asked})
    assert found.ravel() * 20 == pytest.approx([3, 2, 2, 1])
    assert label_sets(found, 0.1).ravel().tolist() == [True, False, False, False]
    assert label_sets(found, 0.05).ravel().tolist() == [True, True, True, False]
    assert label_sets(found, 0.04).all()
    with pytest.raises(UsageError, match=r"error rate is 1\.5"):
        label_sets(found, 1.5)


def test_each_fold_is_compared_by_what_was_learned_without_it():
    """Answers that had less to learn from judge both sides, so a better whole does not matter."""
    covered = tested = 0
    for repeat in range(40):
        rng = np.random.default_rng(repeat)
        known, folds = rng.normal(size=300), rng.integers(3, size=300)
        learned = np.array([0.0, 0.5, 2.0])
        asked = rng.normal(size=400)
        strange = {fold: (asked + learned[fold])[:, None] for fold in range(3)}
        found = label_p_values(known + learned[folds], folds, strange)
        covered, tested = covered + label_sets(found, 0.1).sum(), tested + 400
    assert covered / tested == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_sets_of_averaged_p_values_are_too_large_unless_held_against_held_out_ones(alpha):
    """Five donors, one label; whoever is left out, an answer errs anew at each cell."""
    folds, five = np.repeat(np.arange(5), 100), range(5)
    averaged, against = [], []
    for repeat in range(100):
        rng = np.random.default_rng(repeat)
        *cells, query = rng.normal(size=(6, 100)) + rng.normal(scale=0.5, size=(6, 1))

        def judge(asked, rng=rng):
            return asked + rng.normal(size=100)

        known = np.concatenate([judge(cells[one]) for one in five])
        asked = {one: judge(query)[:, None] for one in five}
        judged = {
            one: {other: judge(cells[one])[:, None] for other in five if other != one}
            for one in five
        }
        found = label_p_values(known, folds, asked)
        held_out = held_out_p_values(np.zeros(500, dtype=int), folds, judged)
        averaged.append(label_sets(found, alpha).mean())
        against.append(label_sets(against_held_out(held_out, found), alpha).mean())
    assert np.mean(averaged) > 1 - alpha + 0.02
    assert np.mean(against) == pytest.approx(1 - alpha, abs=0.02)


def test_careful_sets_take_the_fold_for_which_a_label_is_least_strange():
    folds, known = np.repeat([0, 1], 10), np.arange(20) / 20
    asked = {0: np.array([[0.9, 0.3]]), 1: np.array([[0.5, 0.96]])}
    found = label_p_values(known, folds, asked, careful=True)
    np.testing.assert_allclose(found, [[11 / 21, 15 / 21]])
    assert (found >= label_p_values(known, folds, asked)).all()
    own = label_p_values(known, folds, asked, codes=np.arange(20) % 2, careful=True)
    np.testing.assert_allclose(own, [[6 / 11, 8 / 11]])


def test_held_out_p_values_by_hand():
    """Three folds, two labels; the third fold alone has cells of the second label."""
    folds, codes = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 0, 0, 0, 0, 1])
    judged = {
        0: {1: np.array([[0.1, 0.9], [0.5, 0.5]]), 2: np.array([[0.2, 0.8], [0.6, 0.4]])},
        1: {0: np.array([[0.3, 0.7], [0.5, 0.5]]), 2: np.array([[0.1, 0.9], [0.7, 0.3]])},
        2: {0: np.array([[0.4, 0.6], [0.9, 0.2]]), 1: np.array([[0.3, 0.7], [0.8, 0.1]])},
    }
    found = held_out_p_values(codes, folds, judged)
    # .1 against .3 and .5, .2 against .4; .5 against .3 and .5, .6 against .4: the third fold's
    # cell of the other label is not compared with, as no other fold has that label
    assert found[:2] == pytest.approx([4 / 4, 2 / 4])
    assert found[2:4] == pytest.approx([3 / 4, 2 / 4])
    by_type = held_out_p_values(codes, folds, judged, by_class=True)
    assert by_type[:4] == pytest.approx(found[:4])
    assert by_type[5] == 1.0
    own = against_held_out(found, np.array([[0.5, 0.5]]), codes=codes)
    assert own.shape == (1, 2)
    assert own[0, 0] == (1 + (found[:5] <= 0.5).sum()) / 6


def test_each_label_keeps_its_own_promise():
    known, codes = simulated(4000, 0)
    asked, truth = simulated(4000, 1)
    kept = own(label_sets(by_one(known, codes, asked, codes=codes), 0.1), truth)
    for code in range(5):
        cells = (truth == code).sum()
        low, high = binom.interval(0.9999, cells, 0.9)
        slack = 4 * np.sqrt(0.09 / (codes == code).sum()) * cells
        assert low - slack <= kept[truth == code].sum() <= high + slack
    sixth = np.column_stack([asked, np.zeros(4000)])
    unseen = by_one(known, codes, sixth, codes=codes)
    assert (unseen[:, 5] == 1).all()


def test_known_scores():
    given = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3]])
    np.testing.assert_allclose(nonconformity(given), 1 - given)
    summed = [[0.6, 0.9, 1.0], [1.0, 0.5, 0.8]]
    np.testing.assert_allclose(nonconformity(given, kind="aps"), summed)
    penalised = [[0.6, 0.9, 1.01], [1.01, 0.5, 0.8]]
    np.testing.assert_allclose(nonconformity(given, kind="raps"), penalised)
    with pytest.raises(UsageError, match="'best' sets"):
        nonconformity(given, kind="best")


def test_sets_are_nested():
    known, codes = simulated(500, 2)
    found = by_one(known, codes, simulated(500, 3)[0])
    strict, loose = (label_sets(found, alpha) for alpha in (0.4, 0.05))
    assert (strict <= loose).all()
    assert not strict.any(axis=1).all()
    given = simulated(500, 3)[0]
    shown = with_best(strict, given)
    assert shown.any(axis=1).all()
    assert (shown[strict.any(axis=1)] == strict[strict.any(axis=1)]).all()


def test_p_values_are_uniform_for_cells_like_the_known_ones():
    rng = np.random.default_rng(0)
    many = np.concatenate([p_values(rng.normal(size=99), rng.normal(size=1)) for _ in range(3000)])
    # on 1/100 … 1, each value alike
    assert kstest(many - rng.random(3000) / 100, "uniform").pvalue > 1e-3
    assert p_values(np.arange(99.0), [1000.0, -1.0]).tolist() == [0.01, 1.0]


def test_p_values_within_groups_look_at_their_own_group():
    known, groups = np.array([1.0, 2, 3, 101, 102, 103]), np.array(list("aaabbb"))
    asked = p_values(
        known, [100.0, 100, 5], calibration_groups=groups, groups=np.array(list("abc"))
    )
    assert asked.tolist() == [0.25, 1.0, 1.0]
