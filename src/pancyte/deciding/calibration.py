"""Probabilities that mean what they say: temperature scaling."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from pancyte.errors import InputError

FLOOR = 1e-6
"""Least probability: a vote of neighbours may give 0, and nothing is impossible."""

COLDEST, HOTTEST = 0.05, 20.0


def fit_temperature(
    probabilities: ArrayLike, codes: ArrayLike, *, weights: ArrayLike | None = None
) -> float:
    """Find how much bolder or more careful a method should have been, on cells it did not see.

    Parameters
    ----------
    probabilities
        (cells, labels), of cells that were held out from whatever gave them.
    codes
        Column of each cell's true label, (cells,).
    weights
        How much each cell counts, (cells,); all alike if not given.

    Returns
    -------
    The temperature T > 0 for which ``softmax(log p / T)`` has the least log loss: above 1 the
    method was too sure, below 1 too careful.

    Raises
    ------
    InputError
        If there are no cells, or the arrays do not fit together.

    Notes
    -----
    Guo et al. 2017, *On calibration of modern neural networks*, arXiv:1706.04599. One number
    cannot change which label is the most probable one.
    """
    given, truth = np.asarray(probabilities, dtype=np.float64), np.asarray(codes)
    if given.ndim != 2 or len(given) != len(truth) or not len(truth):
        raise InputError(
            f"Probabilities of shape {given.shape} do not fit {len(truth)} labels.",
            fix="Give one row of probabilities and one label per held-out cell.",
        )
    logits, rows = _logits(given), np.arange(len(truth))
    shares = np.ones(len(truth)) if weights is None else np.asarray(weights, dtype=np.float64)

    def loss(log_temperature: float) -> float:
        logs = log_softmax(logits / np.exp(log_temperature), axis=1)
        return float(-(shares * logs[rows, truth]).sum() / shares.sum())

    bounds = (np.log(COLDEST), np.log(HOTTEST))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


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
