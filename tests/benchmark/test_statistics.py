"""Intervals against known truths, and the verdict's wording."""

import numpy as np
import pytest
from scipy.stats import binom, ttest_rel

from pancyte.benchmark.statistics import (
    Comparison,
    interval,
    nested_bootstrap,
    paired_t,
    resampling_weights,
    verdict,
)
from pancyte.metrics.classification import accuracy


def compared(difference: float, low: float, high: float) -> Comparison:
    return Comparison(
        "macro_f1", "tiny (logistic)", "l1-logistic", 0.9 + difference, 0.9, difference, low, high
    )


def test_weights_are_draws_with_replacement_and_repeat_with_the_seed():
    blocks = np.vstack(list(resampling_weights(50, seed=1)))
    assert blocks.shape == (1000, 50)
    assert (blocks.sum(axis=1) == 50).all()
    assert blocks.mean() == 1
    assert blocks.var() == pytest.approx(binom(50, 1 / 50).var(), rel=0.05)
    np.testing.assert_array_equal(blocks, np.vstack(list(resampling_weights(50, seed=1))))
    assert (blocks != np.vstack(list(resampling_weights(50, seed=2)))).any()


def test_many_cells_are_drawn_in_blocks_of_bounded_size():
    blocks = list(resampling_weights(100_000, seed=0, resamples=200))
    assert len(blocks) > 1
    assert sum(map(len, blocks)) == 200
    assert all((block.sum(axis=1) == 100_000).all() for block in blocks)


def test_interval_of_one_accuracy_matches_the_binomial():
    rng = np.random.default_rng(0)
    truth = np.full(400, "a")
    answer = np.where(rng.random(400) < 0.8, "a", "b")
    arrays = {"y_true": truth, "y_pred": answer}
    low, high = interval(accuracy.resampled(arrays, resampling_weights(400, 0)))
    p = accuracy.score(arrays)
    exact = binom(400, p)
    assert low == pytest.approx(exact.ppf(0.025) / 400, abs=0.01)
    assert high == pytest.approx(exact.ppf(0.975) / 400, abs=0.01)


def test_paired_interval_covers_a_known_difference_about_as_often_as_it_says():
    rng = np.random.default_rng(5)
    covered, widths, unpaired = [], [], []
    for trial in range(120):
        hard = rng.random(300)
        right_a, right_b = hard < 0.85, (hard < 0.80) & (rng.random(300) > 0.01)
        arrays = [
            {"y_true": np.ones(300), "y_pred": right.astype(float)} for right in (right_a, right_b)
        ]
        a, b = (accuracy.resampled(x, resampling_weights(300, trial, 400)) for x in arrays)
        low, high = nested_bootstrap([(a - b)[None]])
        covered.append(low <= 0.85 - 0.80 * 0.99 <= high)
        widths.append(high - low)
        unpaired.append(np.subtract(*reversed(interval(a - rng.permutation(b)))))
    assert 0.88 <= np.mean(covered) <= 0.99
    assert np.mean(widths) < 0.7 * np.mean(unpaired)


def test_seeds_of_one_fold_do_not_shrink_the_cells_uncertainty():
    rng = np.random.default_rng(0)
    cells = rng.normal(0.05, 0.02, 1000)
    one = nested_bootstrap([cells[None]])
    five = nested_bootstrap([np.tile(cells, (5, 1))])
    np.testing.assert_allclose(one, five, atol=1e-9)


def test_spread_between_folds_and_between_seeds_widens_the_interval():
    rng = np.random.default_rng(0)
    same = [0.05 + 0.001 * rng.normal(size=(5, 1000)) for _ in range(4)]
    folds = [f + shift for f, shift in zip(same, (-0.1, 0, 0.1, 0.2), strict=True)]
    seeds = [f + np.linspace(-0.1, 0.1, 5)[:, None] for f in same]
    width = {
        name: np.subtract(*reversed(nested_bootstrap(given)))
        for name, given in {"same": same, "folds": folds, "seeds": seeds}.items()
    }
    assert width["folds"] > 10 * width["same"]
    assert width["seeds"] > 5 * width["same"]


def test_paired_t_agrees_with_scipy_and_is_unbounded_for_one_run():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.6, 0.02, 5), rng.normal(0.5, 0.02, 5)
    expected = ttest_rel(a, b).confidence_interval(0.95)
    assert paired_t(a - b) == pytest.approx((expected.low, expected.high))
    assert paired_t(np.array([0.3])) == (-np.inf, np.inf)


def test_verdict_says_who_won_by_how_much_and_how_sure():
    assert verdict(compared(-0.031, -0.043, -0.020)) == (
        "baseline wins on macro_f1: l1-logistic .900 vs tiny (logistic) .869, by .031 [.020, .043]"
    )
    assert verdict(compared(0.05, 0.01, 0.1)) == (
        "model wins on macro_f1: tiny (logistic) .950 vs l1-logistic .900, by .050 [.010, .100]"
    )
    assert verdict(compared(0.01, -0.02, 0.04)) == (
        "no difference shown on macro_f1: tiny (logistic) .910 vs l1-logistic .900, "
        "difference .010 [-.020, .040]"
    )
    assert verdict(compared(0.1, -np.inf, np.inf)).endswith("difference .100 [-∞, ∞]")
    assert [compared(*d).winner for d in ((1, 0.5, 2), (-1, -2, -0.5), (0, -1, 1))] == [
        "model",
        "baseline",
        "none",
    ]
