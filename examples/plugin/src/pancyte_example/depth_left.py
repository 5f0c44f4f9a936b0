"""How much of the sequencing depth is left in an embedding."""

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_predict

from pancyte.metrics.metric import metric


@metric(worst=1.0, best=0.0, source="R² of a cross-validated ridge regression; this package")
def depth_left(embedding: np.ndarray, depth: np.ndarray) -> float:
    """Share of the variance of log depth that a linear model reads off the embedding.

    Parameters
    ----------
    embedding
        (cells, width).
    depth
        Total count of each cell, (cells,).
    """
    target = np.log1p(depth)
    folds = KFold(5, shuffle=True, random_state=0)
    guess = cross_val_predict(RidgeCV(np.logspace(-2, 4, 7)), embedding, target, cv=folds)
    residual = np.square(target - guess).sum() / np.square(target - target.mean()).sum()
    return float(np.clip(1 - residual, 0, 1))
