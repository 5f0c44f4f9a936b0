"""Small classifiers on frozen embeddings: the nearest neighbours and a logistic regression."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler, normalize

from pancyte.errors import InputError


class _Probe(ClassifierMixin, BaseEstimator):
    """What both probes share: a label is the most probable class, the first one if tied."""

    classes_: np.ndarray

    def predict(self, Z: ArrayLike) -> np.ndarray:
        """Label each row of `Z`, (cells, width)."""
        return self.classes_[self.predict_proba(Z).argmax(axis=1)]

    def predict_proba(self, Z: ArrayLike) -> np.ndarray:
        """Return the probability of each label, (cells, classes), columns as `classes_`."""
        raise NotImplementedError


class KNNProbe(_Probe):
    """Label a cell as the reference cells most similar to it are labelled.

    Parameters
    ----------
    k
        How many neighbours vote; all reference cells if there are fewer.

    Notes
    -----
    Similarity is the cosine. A vote weighs one over the distance between the directions, so
    that a tie goes to the closer cells and not to the first label of the alphabet.
    """

    def __init__(self, k: int = 15) -> None:
        self.k = k

    def fit(self, Z: ArrayLike, y: ArrayLike) -> Self:
        """Remember the reference: embeddings (cells, width) and labels (cells,)."""
        embedding, labels = _checked(Z, y)
        votes = min(self.k, len(labels))
        search = KNeighborsClassifier(votes, weights="distance", algorithm="brute")
        self.search_ = search.fit(normalize(embedding), labels)
        self.classes_ = search.classes_
        return self

    def predict_proba(self, Z: ArrayLike) -> np.ndarray:
        """Return each label's share of the votes, (cells, classes), columns as `classes_`."""
        return self.search_.predict_proba(normalize(np.asarray(Z, dtype=np.float64)))


class LogisticProbe(_Probe):
    """Label cells by a multinomial logistic regression on the standardised embedding.

    Parameters
    ----------
    C
        Inverse strength of the ridge penalty.

    Notes
    -----
    Each dimension is centred and scaled by the reference's mean and standard deviation.
    """

    def __init__(self, C: float = 1.0) -> None:
        self.C = C

    def fit(self, Z: ArrayLike, y: ArrayLike) -> Self:
        """Learn from the reference: embeddings (cells, width) and labels (cells,).

        Raises
        ------
        InputError
            If all reference cells carry one label.
        """
        embedding, labels = _checked(Z, y)
        if len(np.unique(labels)) < 2:
            raise InputError(
                f"All {len(labels)} reference cells are labelled {str(labels[0])!r}.",
                fix="Give a reference with at least two cell types.",
            )
        self.scaler_ = StandardScaler().fit(embedding)
        regression = LogisticRegression(C=self.C, max_iter=2000)
        self.regression_ = regression.fit(self.scaler_.transform(embedding), labels)
        self.classes_ = self.regression_.classes_
        return self

    def predict_proba(self, Z: ArrayLike) -> np.ndarray:
        """Return the probability of each label, (cells, classes), columns as `classes_`."""
        scaled = self.scaler_.transform(np.asarray(Z, dtype=np.float64))
        return self.regression_.predict_proba(scaled)


def _checked(Z: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    embedding, labels = np.asarray(Z, dtype=np.float64), np.asarray(y)
    if embedding.ndim != 2 or len(embedding) != len(labels) or not len(labels):
        raise InputError(
            f"An embedding of shape {embedding.shape} does not fit {len(labels)} labels.",
            fix="Give one row and one label per reference cell.",
        )
    if not np.isfinite(embedding).all():
        bad = int((~np.isfinite(embedding).all(axis=1)).sum())
        raise InputError(
            f"{bad} of {len(embedding)} reference cells have NaN or infinity in their embedding.",
            fix="Check the model's numerical precision and its input.",
        )
    return embedding, labels
