"""The promise is kept on exchangeable scores, within what chance allows."""

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import binom, kstest

from pancyte.deciding.conformal import (
    class_thresholds,
    label_sets,
    nonconformity,
    p_values,
    threshold,
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


@pytest.mark.parametrize("kind", ["lac", "aps", "raps"])
@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_coverage_is_nominal_within_binomial_error(kind, alpha):
    """Over fresh calibration and test cells; each repeat covers Beta-distributed shares."""
    covered = tested = 0
    for repeat in range(60):
        known, codes = simulated(400, 2 * repeat)
        asked, truth = simulated(400, 2 * repeat + 1)
        bound = threshold(own(nonconformity(known, kind=kind), codes), alpha)
        kept = label_sets(nonconformity(asked, kind=kind), bound, allow_empty=True)
        covered, tested = covered + own(kept, truth).sum(), tested + len(truth)
    # calibration and test sets of n cells each: the share's variance is about twice a binomial's
    error = 4 * np.sqrt(2 * alpha * (1 - alpha) / tested)
    assert 1 - alpha - error <= covered / tested <= 1 - alpha + 1 / 401 + error


def test_the_bound_is_the_textbook_order_statistic():
    scores = np.arange(1, 20) / 20
    assert threshold(scores, 0.1) == 18 / 20
    assert threshold(scores, 0.05) == 19 / 20
    assert threshold(scores, 0.04) == np.inf
    with pytest.raises(UsageError, match=r"error rate is 1\.5"):
        threshold(scores, 1.5)


def test_each_label_keeps_its_own_promise():
    known, codes = simulated(4000, 0)
    asked, truth = simulated(4000, 1)
    scores = nonconformity(known)
    bounds = class_thresholds(own(scores, codes), codes, 0.1, labels=5)
    assert bounds.tolist() == [threshold(own(scores, codes)[codes == c], 0.1) for c in range(5)]
    kept = own(label_sets(nonconformity(asked), bounds, allow_empty=True), truth)
    for code in range(5):
        cells = (truth == code).sum()
        low, high = binom.interval(0.9999, cells, 0.9)
        slack = 4 * np.sqrt(0.09 / (codes == code).sum()) * cells
        assert low - slack <= kept[truth == code].sum() <= high + slack
    assert class_thresholds(own(scores, codes), codes, 0.1, labels=6)[5] == np.inf


def test_donors_count_alike_when_named():
    """Equal donors change nothing; one with many strange cells has no more say than another."""
    rng = np.random.default_rng(0)
    scores = rng.random(1000)
    even = np.repeat(np.arange(10), 100)
    assert threshold(scores, 0.1, groups=even) == pytest.approx(threshold(scores, 0.1), abs=0.01)
    strange = np.concatenate([rng.random(100), 1 + rng.random(900)])
    donors = np.array(["small"] * 100 + ["big"] * 900)
    assert threshold(strange, 0.5) > 1
    assert threshold(strange, 0.5, groups=donors) <= 1


def test_known_scores():
    given = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3]])
    np.testing.assert_allclose(nonconformity(given), 1 - given)
    summed = [[0.6, 0.9, 1.0], [1.0, 0.5, 0.8]]
    np.testing.assert_allclose(nonconformity(given, kind="aps"), summed)
    penalised = [[0.6, 0.9, 1.01], [1.01, 0.5, 0.8]]
    np.testing.assert_allclose(nonconformity(given, kind="raps"), penalised)
    with pytest.raises(UsageError, match="'best' sets"):
        nonconformity(given, kind="best")


def test_sets_are_nested_and_never_empty_unless_allowed():
    scores = nonconformity(simulated(500, 3)[0])
    strict, loose = (label_sets(scores, bound, allow_empty=True) for bound in (0.2, 0.6))
    assert (strict <= loose).all()
    assert not strict.any(axis=1).all()
    shown = label_sets(scores, 0.2)
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
