"""A known temperature is found again; probabilities then mean what they say."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from pancyte.deciding.calibration import at_temperature, fit_temperature, wrong_labels
from pancyte.errors import InputError
from pancyte.metrics.classification import ece


@pytest.fixture(scope="module")
def drawn():
    """Labels drawn from the very probabilities of 4,000 cells, so these are calibrated."""
    rng = np.random.default_rng(0)
    honest = softmax(2 * rng.normal(size=(4_000, 6)), axis=1)
    return honest, (honest.cumsum(axis=1) < rng.random((4_000, 1))).sum(axis=1)


def temperature(*arrays, **options):
    return fit_temperature(*arrays, **options)[0]


def test_the_loss_is_that_at_the_temperature(drawn):
    honest, codes = drawn
    found, loss = fit_temperature(honest**2, codes)
    own = at_temperature(honest**2, found)[np.arange(len(codes)), codes]
    assert loss == pytest.approx(-np.log(own).mean())


@pytest.mark.parametrize("known", [0.4, 1.0, 3.0])
def test_a_known_temperature_is_found(drawn, known):
    honest, codes = drawn
    distorted = softmax(np.log(honest) * known, axis=1)
    assert temperature(distorted, codes) == pytest.approx(known, rel=0.1)
    restored = at_temperature(distorted, temperature(distorted, codes))
    assert np.abs(restored - honest).max() < 0.06  # the floor keeps 1e-6 from 0


def test_calibration_error_falls_and_labels_stay(drawn):
    honest, codes = drawn
    bold = softmax(np.log(honest) * 3, axis=1)
    careful = at_temperature(bold, temperature(bold, codes))
    np.testing.assert_array_equal(careful.argmax(axis=1), bold.argmax(axis=1))
    answer = bold.argmax(axis=1)
    assert ece(codes, answer, bold) > 0.1
    assert ece(codes, answer, careful) < 0.03


def test_a_cell_that_weighs_three_times_is_three_cells(drawn):
    honest, codes = drawn
    bold = softmax(np.log(honest) * 3, axis=1)
    times = np.where(bold.argmax(axis=1) == codes, 1, 3)
    weighed = temperature(bold, codes, weights=times)
    repeated = temperature(np.repeat(bold, times, axis=0), np.repeat(codes, times))
    assert weighed == pytest.approx(repeated, rel=1e-3)
    assert weighed != pytest.approx(temperature(bold, codes), rel=1e-3)


def test_it_is_the_scale_that_a_logistic_regression_finds(drawn):
    """With two labels, temperature scaling is a logistic regression without intercept."""
    honest, _ = drawn
    two = honest[:, :2] / honest[:, :2].sum(axis=1, keepdims=True)
    codes = (np.random.default_rng(1).random(len(two)) < two[:, 1]).astype(int)
    bold = softmax(np.log(two) * 2.5, axis=1)
    gap = np.log(bold[:, 1] / bold[:, 0])[:, None]
    regression = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-8).fit(gap, codes)
    assert temperature(bold, codes) == pytest.approx(1 / regression.coef_[0, 0], rel=0.01)


@pytest.mark.parametrize("wrong", [0.0, 0.2, 0.4])
def test_wrong_labels_are_counted_and_probabilities_stay_right(drawn, wrong):
    honest, codes = drawn
    rng = np.random.default_rng(3)
    exchanged = rng.random(len(codes)) < wrong
    given = np.where(exchanged, (codes + rng.integers(1, 6, len(codes))) % 6, codes)
    bold = softmax(np.log(honest) * 2, axis=1)
    share = wrong_labels(bold, given)
    assert share == pytest.approx(wrong, abs=0.03)
    restored = at_temperature(bold, temperature(bold, given, wrong=share))
    assert np.abs(restored - honest).mean() < 0.02
    if wrong:
        unaware = at_temperature(bold, temperature(bold, given))
        assert np.abs(unaware - honest).mean() > 0.05


def test_a_vote_of_zero_is_not_impossible():
    votes = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    fitted = at_temperature(votes, temperature(votes, [0, 0, 1, 1]))
    assert np.isfinite(fitted).all()
    assert fitted.max() < 1
    with pytest.raises(InputError, match="do not fit 3 labels"):
        temperature(votes, [0, 1, 1])
