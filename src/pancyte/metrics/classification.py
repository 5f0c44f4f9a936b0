"""How often, how evenly and how honestly cells were labelled right."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_matrix, hstack

from pancyte.metrics.metric import Terms, additive, same_length

ECE_BINS = 15


def _one_hot(codes: np.ndarray, width: int, values: np.ndarray | None = None) -> csr_matrix:
    rows = np.arange(len(codes))
    data = np.ones(len(codes)) if values is None else values
    return csr_matrix((data, (rows, codes)), shape=(len(codes), width))


@additive(worst=0.0, best=1.0, source="Fraction of cells labelled as the annotators did.")
def accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> Terms:
    """Fraction of cells given the right label.

    Parameters
    ----------
    y_true, y_pred
        Labels, (cells,).
    """
    truth, answer = np.asarray(y_true), np.asarray(y_pred)
    same_length(y_true=truth, y_pred=answer)
    right = csr_matrix((truth == answer).astype(float)[:, None])
    return Terms(right, lambda sums: sums[:, 0] / len(truth))


@additive(
    worst=0.0,
    best=1.0,
    source="Opitz & Burst 2019, arXiv:1911.03347 (mean of the classes' F1).",
)
def macro_f1(y_true: ArrayLike, y_pred: ArrayLike) -> Terms:
    """F1 averaged over cell types, so that rare types count as much as common ones.

    The average runs over the labels present in `y_true`. A label that is only predicted is
    not a term of its own, but costs the recall of the types it was given to.

    Parameters
    ----------
    y_true, y_pred
        Labels, (cells,).
    """
    return f1_of(
        y_true, y_pred, lambda f1, present: (f1 * present).sum(axis=1) / present.sum(axis=1)
    )


def f1_of(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    joined: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> Terms:
    """Make a score of the labels' F1, given with which of them occur, (resamples, labels) each."""
    truth, answer = np.asarray(y_true), np.asarray(y_pred)
    same_length(y_true=truth, y_pred=answer)
    classes, codes = np.unique(np.concatenate([truth, answer]), return_inverse=True)
    true_codes, answer_codes = codes[: len(truth)], codes[len(truth) :]
    width = len(classes)
    right = (true_codes == answer_codes).astype(float)

    def value(sums: np.ndarray) -> np.ndarray:
        hits, support, given = sums[:, :width], sums[:, width : 2 * width], sums[:, 2 * width :]
        return joined(2 * hits / np.maximum(support + given, 1), support > 0)

    columns = [
        _one_hot(true_codes, width, right),
        _one_hot(true_codes, width),
        _one_hot(answer_codes, width),
    ]
    return Terms(hstack(columns, format="csr"), value)


@additive(
    worst=1.0,
    best=0.0,
    source="Naeini et al. 2015, AAAI 29; Guo et al. 2017, arXiv:1706.04599.",
)
def ece(y_true: ArrayLike, y_pred: ArrayLike, probabilities: ArrayLike) -> Terms:
    """How far the stated confidence is from the truth (expected calibration error).

    The probability of the top label is cut into 15 bins of equal width; the score is the mean
    over cells of the distance, in their bin, between mean confidence and accuracy.

    Parameters
    ----------
    y_true, y_pred
        Labels, (cells,).
    probabilities
        Probability of each label, (cells, labels); the largest of a row belongs to `y_pred`.
    """
    truth, answer, given = np.asarray(y_true), np.asarray(y_pred), np.asarray(probabilities)
    same_length(y_true=truth, y_pred=answer, probabilities=given)
    confidence = given.max(axis=1).astype(float)
    bins = np.clip(np.ceil(confidence * ECE_BINS).astype(int) - 1, 0, ECE_BINS - 1)
    surplus = confidence - (truth == answer)
    return Terms(
        _one_hot(bins, ECE_BINS, surplus), lambda sums: np.abs(sums).sum(axis=1) / len(truth)
    )
