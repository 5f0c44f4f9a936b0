"""The promise is kept on exchangeable scores, within what chance allows."""

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import binom, kstest

from pancyte.deciding.conformal import (
    label_p_values,
    label_sets,
    nonconformity,
    p_values,
    shares_as_strange,
    with_best,
)
from pancyte.errors import UsageError


def simulated(cells: int, seed: int, *, boldness: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are wrong on purpose (right at 1.5): the promise does not need them."""
    rng = np.random.default_rng(seed)
    codes = rng.choice(5, size=cells, p=[0.4, 0.3, 0.15, 0.1, 0.05])
    logits = rng.normal(size=(cells, 5))
    logits[np.arange(cells), codes] += 1.5
    return softmax(boldness * logits, axis=1), codes


def own(scores, codes):
    return scores[np.arange(len(codes)), codes]


def shares(given, kind="lac"):
    return shares_as_strange(given, nonconformity(given, kind=kind))


def p_values_of(known, true, asked, *, kind="lac", **options):
    """P-values of new cells' labels, with all known cells held out together."""
    return label_p_values(shares(known, kind), true, shares(asked, kind), **options)


@pytest.mark.parametrize("kind", ["lac", "aps", "raps"])
@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_coverage_is_nominal_if_probabilities_are_too_bold(kind, alpha):
    """Over fresh calibration and test cells."""
    covered = tested = 0
    for repeat in range(60):
        known, codes = simulated(400, 2 * repeat)
        asked, truth = simulated(400, 2 * repeat + 1)
        kept = label_sets(p_values_of(known, codes, asked, kind=kind), alpha)
        covered, tested = covered + own(kept, truth).sum(), tested + len(truth)
    # calibration and test sets of n cells each: the share's variance is about twice a binomial's
    error = 4 * np.sqrt(2 * alpha * (1 - alpha) / tested)
    assert 1 - alpha - error <= covered / tested <= 1 - alpha + 1 / 401 + error


def test_the_bound_is_the_textbook_order_statistic():
    scores, asked = np.arange(1, 20) / 20, np.array([0.9, 0.901, 0.95, 0.951])
    found = p_values(scores, asked)
    assert found * 20 == pytest.approx([3, 2, 2, 1])
    assert label_sets(found, 0.1).tolist() == [True, False, False, False]
    assert label_sets(found, 0.05).tolist() == [True, True, True, False]
    assert label_sets(found, 0.04).all()


def test_probabilities_that_are_too_careful_make_sets_larger_never_smaller():
    known, codes = simulated(4000, 0, boldness=0.7)
    asked, truth = simulated(4000, 1, boldness=0.7)
    found = p_values_of(known, codes, asked)
    assert (found >= shares(asked)).all()
    assert own(label_sets(found, 0.2), truth).mean() > 0.85


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.2])
def test_a_query_that_is_easier_or_harder_than_what_was_held_out(alpha):
    """Probabilities are right everywhere, but cells of some donors are harder to tell apart."""

    def donor(distinct, seed):
        rng = np.random.default_rng(seed)
        codes = rng.integers(4, size=4000)
        logits = rng.normal(size=(4000, 4))
        logits[np.arange(4000), codes] += distinct
        return softmax(distinct * logits, axis=1), codes

    known, true = donor(2.0, 0)
    strange = nonconformity(known)
    for distinct in (1.0, 1.5, 2.5):
        asked, truth = donor(distinct, 1)
        covered = own(label_sets(p_values_of(known, true, asked), alpha), truth).mean()
        assert covered == pytest.approx(1 - alpha, abs=0.015)
        as_they_are = p_values(own(strange, true), own(nonconformity(asked), truth)) > alpha
        assert abs(as_they_are.mean() - (1 - alpha)) > 0.02


def test_shares_and_p_values_by_hand():
    given = np.array([[0.7, 0.3], [0.1, 0.9]])
    # strangeness .3, .7, .9, .1: as strange as .3 are 1.6, .7 and .9 less 1.0 of 2
    found = shares(given)
    np.testing.assert_allclose(found, [[1.1 / 2, 0.4 / 2], [0.1 / 2, 2 / 2]])
    alone = shares_as_strange(given, nonconformity(given), counted=[True, False])
    np.testing.assert_allclose(alone[0], [1.0, 0.3])
    true = np.array([0, 0, 0, 1])
    held_out = np.array([[0.1, 0.2], [0.5, 0.4], [0.6, 0.8], [0.3, 1.0]])
    np.testing.assert_allclose(
        label_p_values(held_out, true, found), [[3 / 5, 2 / 5], [1 / 5, 1.0]]
    )
    by_type = label_p_values(held_out, true, found, by_class=True)
    np.testing.assert_allclose(by_type, [[3 / 4, 1 / 2], [1 / 4, 1.0]])
    assert label_sets(by_type, 0.25).tolist() == [[True, True], [False, True]]
    with pytest.raises(UsageError, match=r"error rate is 1\.5"):
        label_sets(found, 1.5)


@pytest.mark.parametrize("by_class", [False, True])
@pytest.mark.parametrize("wrong", [0.2, 0.4])
def test_sets_hold_true_labels_though_many_held_out_ones_are_wrong(wrong, by_class):
    known, codes = simulated(4000, 0)
    asked, truth = simulated(4000, 1)
    rng = np.random.default_rng(2)
    given = np.where(rng.random(4000) < wrong, (codes + rng.integers(1, 5, 4000)) % 5, codes)
    found = p_values_of(known, given, asked, by_class=by_class, wrong=wrong)
    clean = p_values_of(known, codes, asked, by_class=by_class)
    covered, nominal = (own(label_sets(p, 0.1), truth).mean() for p in (found, clean))
    assert covered == pytest.approx(nominal, abs=0.04)
    unaware = label_sets(p_values_of(known, given, asked, by_class=by_class), 0.1)
    assert unaware.sum() > 1.2 * label_sets(found, 0.1).sum()


def test_one_cell_gets_the_labels_that_its_own_probabilities_leave():
    given = np.array([[0.5, 0.3, 0.15, 0.05]])
    np.testing.assert_allclose(shares(given), [[1.0, 0.5, 0.2, 0.05]])


def test_each_label_keeps_its_own_promise():
    known, codes = simulated(4000, 0)
    asked, truth = simulated(4000, 1)
    kept = own(label_sets(p_values_of(known, codes, asked, by_class=True), 0.1), truth)
    for code in range(5):
        cells = (truth == code).sum()
        low, high = binom.interval(0.9999, cells, 0.9)
        slack = 4 * np.sqrt(0.09 / (codes == code).sum()) * cells
        assert low - slack <= kept[truth == code].sum() <= high + slack
    sixth = [np.column_stack([given, np.zeros(4000)]) for given in (known, asked)]
    unseen = p_values_of(sixth[0], codes, sixth[1], by_class=True)
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
    found = p_values_of(known, codes, simulated(500, 3)[0])
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
