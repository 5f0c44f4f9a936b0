"""Two further simple labellers: a ridge that weighs rare types up, and the nearest profile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pancyte.tasks.dataset import column
from pancyte.tasks.expression import expression
from pancyte.tasks.task import LabelProbabilities

if TYPE_CHECKING:
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
        from scipy.special import softmax
        from sklearn.preprocessing import normalize

        known, asked = expression(reference, query)
        classes, codes = np.unique(column(reference, label_key), return_inverse=True)
        profiles = np.vstack([known[codes == code].mean(axis=0) for code in range(len(classes))])
        profiles = np.asarray(profiles)
        centre = profiles.mean(axis=0)
        likeness = normalize(asked.toarray() - centre) @ normalize(profiles - centre).T
        return LabelProbabilities(classes, softmax(SHARPNESS * likeness, axis=1))
