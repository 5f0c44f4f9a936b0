"""How unlike anything in the reference a cell is, by itself and with those that are like it."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_matrix
from scipy.special import logsumexp

from pancyte.deciding.conformal import p_values
from pancyte.deciding.likeness import CELLS_A_COMPONENT, FEWEST, averaged
from pancyte.tasks.expression import expression, shared_counts

if TYPE_CHECKING:
    from pancyte.shapes import Cells

VIEWS = ("energy", "mahalanobis", "neighbours", "residual", "unexpected")
COMBINED = [VIEWS.index(name) for name in ("energy", "mahalanobis", "unexpected")]
"""What the p-value is made of. The other two follow how noisy a cell is and see some types, such as
acinar cells, as the least strange of all: they are measured, but do not decide."""

COMPONENTS, NEIGHBOURS, UNEXPECTED = 50, 15, 10
LEAST, LEEWAY = 0.1, 1.5
"""By so much, in logarithms, the least strange tenth of a query may be stranger than that of
held-out cells before it counts. Laboratories of one tissue differ by .4 (median of 30 pairs),
nuclei and cells by up to 6, and so does blood from a reference of pancreas: more leeway would hide
what is nowhere in the reference."""


class Strangeness:
    """Five scores of how strange a cell is to a labelled reference; larger is stranger.

    - ``energy``: minus the log of the summed exponentials of a logistic regression's logits on
      principal components: no cell type claims the cell (Liu et al. 2020, arXiv:2010.03759).
    - ``mahalanobis``: squared distance to the nearest type's mean under the types' shared
      covariance, shrunk as Ledoit & Wolf (2004) do, less the distance to the mean of all cells
      under the covariance of all (Lee et al. 2018, arXiv:1807.03888; Ren et al. 2021,
      arXiv:2106.09022).
    - ``neighbours``: mean distance to the 15 nearest reference cells, on components that are
      scaled so that the types' shared covariance is 1, and brought to length 1 (Sun et al.
      2022, arXiv:2204.06507).
    - ``residual``: share of the cell's variation that 50 principal components of the reference
      do not reproduce.
    - ``unexpected``: how far the ten most surprising genes are above what cells of the nearest
      type have at this depth, over all genes: mean of ``log((count + 1) / (expected + 1))``. The
      markers of a type that the reference lacks vary little in the reference, so no choice of
      variable genes would hold them.

    Parameters
    ----------
    reference, query
        Cells whose genes are compared; only genes that both measured are looked at.
    """

    def __init__(self, reference: Cells, query: Cells) -> None:
        self.known_, asked = expression(reference, query)
        (counts, others), columns = shared_counts(reference, query)
        self.counts_, self.asked_ = counts[:, columns], (asked, others[:, columns])

    def fit(self, labels: ArrayLike) -> Self:
        """Learn from the reference cells and their labels, (cells,)."""
        from sklearn.covariance import LedoitWolf
        from sklearn.decomposition import PCA
        from sklearn.linear_model import LogisticRegression
        from sklearn.neighbors import NearestNeighbors

        X = self.known_
        # of few cells, many components are noise, and then every other cell is strange
        rank = max(1, min(COMPONENTS, X.shape[0] // CELLS_A_COMPONENT, X.shape[1] - 1))
        self.pca_ = PCA(rank, svd_solver="arpack", random_state=0).fit(X)
        Z = self.pca_.transform(X)
        classes, codes = np.unique(np.asarray(labels), return_inverse=True)
        self.scale_ = np.maximum(Z.std(axis=0), 1e-12)
        self.regression_ = LogisticRegression(max_iter=500).fit(Z / self.scale_, codes)
        self.means_ = np.vstack([Z[codes == code].mean(axis=0) for code in range(len(classes))])
        within, overall = LedoitWolf().fit(Z - self.means_[codes]), LedoitWolf().fit(Z)
        self.whiten_, self.whiten_all_ = _root(within.precision_), _root(overall.precision_)
        k = min(NEIGHBOURS, len(Z))
        self.search_ = NearestNeighbors(n_neighbors=k).fit(_unit(Z @ self.whiten_))
        sums = [self.counts_[codes == code].sum(axis=0) for code in range(len(classes))]
        profiles = np.asarray(np.vstack(sums), dtype=np.float64) + 0.5
        self.profiles_ = profiles / profiles.sum(axis=1, keepdims=True)
        return self

    def scores(self) -> np.ndarray:
        """Score the query cells; (cells, 5), columns as `VIEWS`."""
        X, counts = self.asked_
        Z = self.embed()
        logits = self.regression_.decision_function(Z / self.scale_)
        logits = np.column_stack([-logits / 2, logits / 2]) if logits.ndim == 1 else logits
        white, means = Z @ self.whiten_, self.means_ @ self.whiten_
        nearest = np.min([((white - mean) ** 2).sum(axis=1) for mean in means], axis=0)
        far, _ = self.search_.kneighbors(_unit(white))
        centred = self._centred_square(X)
        return np.column_stack(
            [
                -logsumexp(logits, axis=1),
                nearest - ((Z @ self.whiten_all_) ** 2).sum(axis=1),
                far.mean(axis=1),
                1 - (Z**2).sum(axis=1) / np.maximum(centred, 1e-12),
                self._unexpected(counts, logits.argmax(axis=1)),
            ]
        )

    def embed(self) -> np.ndarray:
        """Project the query on the reference's principal components, (cells, at most 50)."""
        return np.asarray(self.pca_.transform(self.asked_[0]))

    def _unexpected(self, counts: csr_matrix, nearest: np.ndarray) -> np.ndarray:
        bounds = counts.indptr
        rows = np.repeat(np.arange(counts.shape[0]), np.diff(bounds))
        depth = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
        expected = depth[rows] * self.profiles_[nearest[rows], counts.indices]
        surprise = np.log((counts.data + 1) / (expected + 1))
        answer = np.zeros(counts.shape[0])
        for row, (start, stop) in enumerate(pairwise(bounds)):
            least = max(0, stop - start - UNEXPECTED)
            if stop > start:
                answer[row] = np.partition(surprise[start:stop], least)[least:].mean()
        return answer

    def _centred_square(self, X: csr_matrix) -> np.ndarray:
        mean = self.pca_.mean_
        squares = np.asarray(X.multiply(X).sum(axis=1)).ravel()
        return squares - 2 * np.asarray(X @ mean).ravel() + mean @ mean


def novelty_p_values(
    calibration: np.ndarray,
    scores: np.ndarray,
    *,
    calibration_near: csr_matrix | None = None,
    near: csr_matrix | None = None,
) -> np.ndarray:
    """Combine views into one p-value for *this cell is of a type the reference has*.

    Parameters
    ----------
    calibration
        Scores of held-out cells of known types, (known cells, views); those to be combined.
    scores
        Scores of the cells asked about, (cells, views).
    calibration_near, near
        How alike the known cells are to each other, and those asked about, as
        `pancyte.deciding.likeness.alike` gives it, (known cells, known cells) and (cells, cells).
        Each cell is judged by itself alone if not given.

    Returns
    -------
    (cells,), in (0, 1]; small for cells unlike any type. Each view becomes a p-value among the
    held-out cells; their logs are added (Fisher 1925), averaged over cells that are alike, and as
    views depend on each other the result is judged by its own distribution over the held-out cells.
    What is strange about all of the query, the least strange tenth of its cells included, is put
    down to the laboratory, up to `LEEWAY`.
    """

    def summed(rows: np.ndarray, weights: csr_matrix | None) -> np.ndarray:
        views = (p_values(known, asked) for known, asked in zip(calibration.T, rows.T, strict=True))
        own = -np.sum([np.log(view) for view in views], axis=0)
        return own if weights is None else averaged(own, weights)

    known, asked = summed(calibration, calibration_near), summed(scores, near)
    if len(asked) >= FEWEST:
        further = np.quantile(asked, LEAST) - np.quantile(known, LEAST)
        asked = asked - np.clip(further, 0, LEEWAY)
    return p_values(known, asked)


def _root(precision: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(precision)
    return vectors * np.sqrt(np.maximum(values, 0))


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
