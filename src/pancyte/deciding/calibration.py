"""Probabilities that mean what they say: temperature scaling."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax, softmax

from pancyte.errors import InputError

FLOOR = 1e-6
"""Least probability: a vote of neighbours may give 0, and nothing is impossible."""

LOG_TEMPERATURES = np.log(0.05), np.log(20.0)
"""The coldest and the hottest that are tried."""

MOST_WRONG = 0.9
"""Beyond it labels say next to nothing."""
TINY = np.finfo(np.float64).tiny


def fit_temperature(
    probabilities: ArrayLike,
    codes: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    wrong: float = 0.0,
) -> tuple[float, float]:
    """Find how much bolder or more careful a method should have been, on cells it did not see.

    Parameters
    ----------
    probabilities
        (cells, labels), of cells that were held out from whatever gave them.
    codes
        Column of each cell's label, (cells,).
    weights
        How much each cell counts, (cells,), or None if all count alike.
    wrong
        Share of these labels that are wrong, any other one as likely; see `wrong_labels`.

    Returns
    -------
    The temperature T > 0 for which ``softmax(log p / T)`` has the least mean log loss, and that
    loss. Above 1 the method was too sure, below 1 too careful.

    Raises
    ------
    InputError
        If there are no cells, or the arrays do not fit together.

    Notes
    -----
    Guo et al. 2017, *On calibration of modern neural networks*, arXiv:1706.04599. One number
    cannot change which label is the most probable one.
    """
    loss = _Loss(probabilities, codes, weights)
    found = minimize_scalar(
        loss, bounds=LOG_TEMPERATURES, args=(wrong,), method="bounded", options={"xatol": 1e-4}
    )
    return float(np.exp(found.x)), float(found.fun)


def wrong_labels(probabilities: ArrayLike, codes: ArrayLike) -> float:
    """Estimate which share of the labels of held-out cells is wrong.

    Where even the surest cells have another label, and any other one, it is the labels that are
    wrong: no temperature explains that. A method's own errors are most often among its less sure
    cells, and among similar types.

    Parameters
    ----------
    probabilities
        (cells, labels), of cells that were held out from whatever gave them.
    codes
        Column of each cell's label, (cells,).

    Returns
    -------
    The share for which, together with the best temperature, labels are likeliest, in [0, .9].

    Notes
    -----
    Labels that are exchanged for any other one alike: Natarajan et al. 2013, *Learning with noisy
    labels*, NeurIPS. Labels that are wrong together, or for a similar type only, are not seen.
    """
    loss = _Loss(probabilities, codes)
    bounds = [LOG_TEMPERATURES, (0.0, MOST_WRONG)]
    tried = [
        minimize(lambda x: loss(*x), start, method="L-BFGS-B", bounds=bounds)
        for start in ((0.0, 0.02), (-1.0, 0.3))
    ]
    return float(min(tried, key=lambda found: found.fun).x[1])


class _Loss:
    """Mean log loss of labels by logarithm of the temperature and share of wrong labels."""

    def __init__(
        self, probabilities: ArrayLike, codes: ArrayLike, weights: ArrayLike | None = None
    ) -> None:
        given, self.codes = np.asarray(probabilities, dtype=np.float64), np.asarray(codes)
        if given.ndim != 2 or len(given) != len(self.codes) or not len(given):
            raise InputError(
                f"Probabilities of shape {given.shape} do not fit {len(self.codes)} labels.",
                fix="Give one row of probabilities and one label per held-out cell.",
            )
        self.logits, self.rows = _logits(given), np.arange(len(given))
        self.weights = None if weights is None else np.asarray(weights, dtype=np.float64)

    def __call__(self, log_temperature: float, wrong: float) -> float:
        logs = log_softmax(self.logits / np.exp(log_temperature), axis=1)[self.rows, self.codes]
        if wrong:
            others = max(self.logits.shape[1] - 1, 1)
            logs = np.log((1 - wrong) * np.exp(logs) + wrong * -np.expm1(logs) / others + TINY)
        return float(-np.average(logs, weights=self.weights))


def at_temperature(probabilities: ArrayLike, temperature: float) -> np.ndarray:
    """Make probabilities more careful (above 1) or bolder (below 1), without changing their order.

    Parameters
    ----------
    probabilities
        (cells, labels).
    temperature
        As `fit_temperature` found it.

    Returns
    -------
    (cells, labels); each row adds up to 1.
    """
    return softmax(_logits(np.asarray(probabilities, dtype=np.float64)) / temperature, axis=1)


def _logits(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(probabilities, FLOOR))
