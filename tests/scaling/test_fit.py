"""The law is found where it is known, and its intervals cover it."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import huber, logsumexp

from pancyte.errors import InputError
from pancyte.scaling.fit import HUBER, NAMES, fit_law

TRUE = np.array([0.6, 3.0, 0.4, 9.0, 0.5])
SIZES = np.array([4e3, 2e4, 1e5, 5e5])
CELLS = np.array([500, 1500, 4500, 13500])


def design(seeds=1):
    N, D = (axis.ravel() for axis in np.meshgrid(SIZES, CELLS))
    return np.tile(N, seeds), np.tile(D, seeds)


def true_loss(N, D):
    E, A, a, B, b = TRUE
    return E + A / N**a + B / D**b


def test_exact_losses_give_back_the_law():
    N, D = design()
    law = fit_law(N, D, true_loss(N, D), replicates=3)
    assert law.estimate == pytest.approx(TRUE, rel=1e-3)
    assert law.residual < 1e-6
    assert law.loose == []
    assert law(1e8, 1e7) == pytest.approx(true_loss(1e8, 1e7), rel=1e-3)


def test_another_unit_of_cells_changes_only_their_constant():
    N, D = design()
    loss = true_loss(N, D)
    law, other = (fit_law(N, D * unit, loss, replicates=0) for unit in (1, 1000))
    assert other.estimate[[0, 1, 2, 4]] == pytest.approx(law.estimate[[0, 1, 2, 4]], rel=1e-3)
    assert other(1e6, 1e9) == pytest.approx(law(1e6, 1e6), rel=1e-4)


def test_an_outlier_hardly_moves_it():
    N, D = design(seeds=2)
    loss = true_loss(N, D)
    loss[5] *= 1.5
    law = fit_law(N, D, loss, replicates=0)
    assert law.estimate == pytest.approx(TRUE, rel=0.05)


def test_the_search_ends_where_lbfgs_does():
    N, D = design(seeds=2)
    loss = true_loss(N, D) * np.exp(np.random.default_rng(3).normal(0, 0.02, len(N)))

    def error(law):
        e, p, a, q, b = law
        terms = [np.full(len(N), e), p - a * np.log(N / 1e5), q - b * np.log(D / 1e3)]
        return huber(HUBER, logsumexp(terms, axis=0) - np.log(loss)).sum() / HUBER**2

    starts = [(e, -1, a, -1, b) for e in (-1, -0.4) for a in (0.2, 0.6) for b in (0.2, 0.6)]
    bounds = [(-20, 1), (-20, 1), (0, 3), (-20, 1), (0, 3)]
    reference = min(
        (minimize(error, start, bounds=bounds, options={"maxiter": 2000}) for start in starts),
        key=lambda end: end.fun,
    )
    E, A, a, B, b = fit_law(N, D, loss, replicates=0).estimate
    ours = error([np.log(E), np.log(A / 1e5**a), a, np.log(B / 1e3**b), b])
    assert ours <= reference.fun * (1 + 1e-3)
    assert a == pytest.approx(reference.x[2], abs=0.03)
    assert b == pytest.approx(reference.x[4], abs=0.03)


def test_intervals_cover_the_truth():
    N, D = design(seeds=2)
    rng = np.random.default_rng(0)
    trials, covered = 12, np.zeros(len(TRUE))
    for _ in range(trials):
        noisy = true_loss(N, D) * np.exp(rng.normal(0, 0.01, len(N)))
        law = fit_law(N, D, noisy, replicates=40)
        for at, name in enumerate(NAMES):
            low, high = law.interval(name)
            covered[at] += low <= TRUE[at] <= high
    # with nine in ten expected, fewer than 8 of 12 happens once in two hundred times
    assert (covered >= 8).all(), dict(zip(NAMES, covered, strict=True))


def test_a_flat_axis_is_not_pinned():
    N, D = design(seeds=2)
    rng = np.random.default_rng(1)
    flat = (0.6 + 3.0 / N**0.4) * np.exp(rng.normal(0, 0.02, len(N)))
    law = fit_law(N, D, flat, replicates=40)
    assert "b" in law.loose


def test_a_prediction_farther_off_is_less_certain():
    N, D = design(seeds=2)
    noisy = true_loss(N, D) * np.exp(np.random.default_rng(2).normal(0, 0.01, len(N)))
    law = fit_law(N, D, noisy, replicates=100)
    near, far = law.predict(1e5, 4500), law.predict(1e8, 1e8)
    assert near[1] <= near[0] <= near[2]
    assert far[2] - far[1] > near[2] - near[1]


@pytest.mark.parametrize(
    ("N", "loss", "said"),
    [([1e3, 1e4] * 4, [1.0] * 8, "three sizes"), ([1, 2, 3, 4] * 2, [1.0] * 7 + [-1], "positive")],
)
def test_what_cannot_be_fitted_is_refused(N, loss, said):
    with pytest.raises(InputError, match=said):
        fit_law(N, [1, 1, 2, 2, 3, 3, 4, 4], loss)
