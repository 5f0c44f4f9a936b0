"""Further simple labellers: a ridge that weighs rare types up, and the nearest profile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pancyte.tasks.dataset import column
from pancyte.tasks.expression import expression
from pancyte.tasks.task import LabelProbabilities

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from pancyte.shapes import Cells

SHARPNESS = 20.0


class L2Logistic:
    """Multinomial logistic regression on the genes themselves, each cell type weighing alike.

    The 2,000 highly variable genes of the reference, log-normalised, ridge penalty with C = .01
    and weights that make up for how common a type is, so that rare types are not given up.
    """

    name = "l2-logistic"

    def label(
        self, reference: Cells, query: Cells, *, label_key: str, batch_key: str | None, seed: int
    ) -> LabelProbabilities:
        """Return the probability of each reference label for each query cell."""
        from sklearn.linear_model import LogisticRegression

        known, asked = expression(reference, query)
        regression = LogisticRegression(C=0.01, class_weight="balanced", max_iter=300, tol=1e-3)
        fitted = regression.fit(known, column(reference, label_key))
        return LabelProbabilities(fitted.classes_, fitted.predict_proba(asked))


class Centroid:
    """Label a cell by the cell type whose mean profile its own resembles most.

    Correlation over the 2,000 highly variable genes after the mean of the types' profiles is
    taken away, as in correlation-based annotation (Aran et al. 2019, Nat. Immunol. 20:163). A
    softmax of 20 times the correlation stands for a probability.
    """

    name = "centroid"

    def label(
        self, reference: Cells, query: Cells, *, label_key: str, batch_key: str | None, seed: int
    ) -> LabelProbabilities:
        """Return the probability of each reference label for each query cell."""
        known, asked = expression(reference, query)
        classes, profiles = _profiles(known, column(reference, label_key))
        return LabelProbabilities(classes, _resembling(asked, profiles))


class ShiftedCentroid:
    """Label by the nearest profile, after what the query's laboratory does to each gene is undone.

    Ridge regression (`L2Logistic`) says roughly of which types the query is made. By how much its
    mean expression of a gene, log-normalised, differs from that of such a mixture of the
    reference's profiles is the laboratory's and is subtracted from every cell; then as `Centroid`.
    Transductive, without labels of the query: a cell's label depends on the cells beside it, and
    a query of a few cells, or of several laboratories in one, is shifted wrongly.
    """

    name = "shifted-centroid"

    def label(
        self, reference: Cells, query: Cells, *, label_key: str, batch_key: str | None, seed: int
    ) -> LabelProbabilities:
        """Return the probability of each reference label for each query cell."""
        rough = L2Logistic().label(
            reference, query, label_key=label_key, batch_key=batch_key, seed=seed
        )
        known, asked = expression(reference, query)
        classes, profiles = _profiles(known, column(reference, label_key))
        mixture = rough.probabilities.mean(axis=0) @ profiles
        shift = np.asarray(asked.mean(axis=0)).ravel() - mixture
        return LabelProbabilities(classes, _resembling(asked, profiles, shift))


def _profiles(known: csr_matrix, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """List the labels, sorted, and each one's mean expression, (labels, genes)."""
    classes, codes = np.unique(labels, return_inverse=True)
    means = [np.asarray(known[codes == code].mean(axis=0)) for code in range(len(classes))]
    return classes, np.vstack(means)


def _resembling(
    asked: csr_matrix, profiles: np.ndarray, shift: np.ndarray | float = 0.0
) -> np.ndarray:
    """Softmax of each cell's likeness to each profile, (cells, labels); cells stay sparse."""
    from scipy.special import softmax
    from sklearn.preprocessing import normalize

    centre = profiles.mean(axis=0)
    origin, directions = centre + shift, normalize(profiles - centre).T
    squares = asked.multiply(asked).sum(axis=1)
    lengths = np.asarray(squares).ravel() - 2 * (asked @ origin) + origin @ origin
    along = asked @ directions - origin @ directions
    likeness = along / np.sqrt(np.maximum(lengths, np.finfo(np.float32).eps))[:, None]
    return np.asarray(softmax(SHARPNESS * likeness, axis=1))
