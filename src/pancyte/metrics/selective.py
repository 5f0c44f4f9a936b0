"""How good the answers are that were given, and how many were; and the type served worst."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_matrix

from pancyte.metrics.classification import f1_of
from pancyte.metrics.metric import Terms, additive, same_length


@additive(worst=0.0, best=1.0, source="Share of cells that a method labels rather than refuses.")
def answered(answered: ArrayLike) -> Terms:
    """Share of cells that were labelled; the rest were said to be unknown.

    Parameters
    ----------
    answered
        Whether each cell was, (cells,) bool.
    """
    given = np.asarray(answered, dtype=float)
    same_length(answered=given)
    return Terms(csr_matrix(given[:, None]), lambda sums: sums[:, 0] / len(given))


@additive(
    worst=0.0, best=1.0, source="El-Yaniv & Wiener 2010, JMLR 11:1605 (selective classification)."
)
def accuracy_answered(y_true: ArrayLike, y_pred: ArrayLike, answered: ArrayLike) -> Terms:
    """Fraction of the labelled cells whose label is right; 1 if no cell was labelled.

    Parameters
    ----------
    y_true, y_pred
        Labels, (cells,).
    answered
        Whether each cell was labelled, (cells,) bool.
    """
    truth, answer = np.asarray(y_true), np.asarray(y_pred)
    given = np.asarray(answered, dtype=float)
    same_length(y_true=truth, y_pred=answer, answered=given)
    columns = np.column_stack([given * (truth == answer), given])

    def value(sums: np.ndarray) -> np.ndarray:
        return np.where(sums[:, 1] > 0, sums[:, 0] / np.maximum(sums[:, 1], 1e-12), 1.0)

    return Terms(csr_matrix(columns), value)


@additive(
    worst=0.0, best=1.0, source="Sagawa et al. 2020, arXiv:1911.08731 (worst-group performance)."
)
def worst_f1(y_true: ArrayLike, y_pred: ArrayLike) -> Terms:
    """F1 of the cell type that is told worst: a good mean may hide a type that is never found.

    Parameters
    ----------
    y_true, y_pred
        Labels, (cells,).
    """
    return f1_of(y_true, y_pred, lambda f1, present: np.where(present, f1, np.inf).min(axis=1))
