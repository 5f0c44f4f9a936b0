"""Further simple labellers: a ridge that weighs rare types up, and nearest profiles."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import vstack

from pancyte.tasks.dataset import column
from pancyte.tasks.expression import expression, while_same_cells
from pancyte.tasks.task import LabelProbabilities

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import LogisticRegression

    from pancyte.shapes import Cells

SHARPNESS = 20.0
SUREST = 0.5
"""Part of the cells given each label that are learned from as if they had it."""
FEWEST = 3
"""So many of them at least, where a label was given to as many."""
MOST = 5000
"""So many of them at most, taken evenly from these."""
MIXED = 0.4, 0.6
"""Types weigh alike if none has more of the cells than the first, and not at all if one has more
than the second."""
PRESENT = 0.02
"""Share of the cells from which on a type's shift counts in full."""
ROUNDS = 3
"""How often the shift is found anew; more change nothing (``docs/lab-notes.md``)."""
FEW = 10
"""Mean of a type in a batch: with so many cells it counts half; fewer may be labels gone wrong."""
DRAWN_TO_ZERO = 1.0
"""So many types are added to each batch that show no effect of it."""
EPSILON = float(np.finfo(np.float32).eps)


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
        ridge = _ridge_of(reference, query, label_key=label_key)
        _, asked = expression(reference, query)
        return LabelProbabilities(ridge.classes_, ridge.predict_proba(asked))


class Centroid:
    """Label a cell by the cell type whose mean profile its own resembles most.

    Correlation over the 2,000 highly variable genes after the mean of the types' profiles is
    taken away, with all that is along it, as in correlation-based annotation (Aran et al. 2019,
    Nat. Immunol. 20:163). A softmax of 20 times the correlation stands for a probability.
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

    Ridge regression (`L2Logistic`) says roughly of which type each cell of the query is. By how
    much a type's mean expression of a gene, log-normalised, differs from the reference's, in the
    mean of the types that are there, is the laboratory's and is subtracted from every cell. Cells
    are labelled again and the shift is found anew, three times; then as `Centroid`. With a
    ``batch_key``, profiles are what is left of the reference's types when what each of its batches
    does is taken off. Transductive, without labels of the query: a cell's label depends on the
    cells beside it, and a query of a few cells, or of several laboratories in one, is shifted
    wrongly.
    """

    name = "shifted-centroid"

    def label(
        self, reference: Cells, query: Cells, *, label_key: str, batch_key: str | None, seed: int
    ) -> LabelProbabilities:
        """Return the probability of each reference label for each query cell."""
        _, asked = expression(reference, query)
        classes, profiles, shift, _ = _shifted(reference, query, label_key, batch_key)
        return LabelProbabilities(classes, _resembling(asked, profiles, shift))


class SelfTrained:
    """Learn from the reference and from those query cells whose type is surest.

    The nearest profile (`ShiftedCentroid`) and ridge regression (`L2Logistic`) label the query,
    both after its shift is undone; their probabilities are averaged. The surer half of the cells
    given each label are put beside the reference, and ridge regression learns from both. So it sees
    what the query's laboratory does to each cell type, not only to all of them (self-training;
    Scudder 1965, IEEE Trans. Inf. Theory 11:363). Transductive, without labels of the query.
    """

    name = "self-trained"

    def label(
        self, reference: Cells, query: Cells, *, label_key: str, batch_key: str | None, seed: int
    ) -> LabelProbabilities:
        """Return the probability of each reference label for each query cell."""
        known, asked = expression(reference, query)
        classes, *_, first = _shifted(reference, query, label_key, batch_key)
        best = first.argmax(axis=1)
        sure = _surest(first.max(axis=1), best)
        labels = np.concatenate([column(reference, label_key), classes[best[sure]]])
        fitted = _ridge(vstack([known, asked[sure]], format="csr"), labels)
        return LabelProbabilities(classes, fitted.predict_proba(asked))


@while_same_cells
def _ridge_of(reference: Cells, query: Cells, *, label_key: str) -> LogisticRegression:
    known, _ = expression(reference, query)
    return _ridge(known, column(reference, label_key))


def _ridge(known: csr_matrix, labels: np.ndarray) -> LogisticRegression:
    from sklearn.linear_model import LogisticRegression

    regression = LogisticRegression(C=0.01, class_weight="balanced", max_iter=300, tol=1e-3)
    return regression.fit(known, labels)


def _surest(confidence: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Rows of the cells that are surest of the label they were given, for each label."""
    rows = []
    for label in np.unique(given):
        those = np.flatnonzero(given == label)
        order = np.argsort(-confidence[those], kind="stable")
        surer = those[order[: max(FEWEST, round(SUREST * len(those)))]]
        rows.append(surer[:: -(-len(surer) // MOST)])
    return np.sort(np.concatenate(rows))


def _shifted(
    reference: Cells, query: Cells, label_key: str, batch_key: str | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Find by how much each gene is off in the query, and of which types its cells then are.

    First, by how much the query's mean differs from the mixture of profiles that ridge says it is.
    That hangs on which types are how common, and where ridge is wrong in this, so is the shift, and
    whatever is learned from it. Types that weigh alike do not have this fault. They have another:
    types that are not there weigh as well, by what is mistaken for them. So the more cells are of
    one type, the more of the first shift stays; see `MIXED`.

    Returns
    -------
    Labels; their profiles, (labels, genes); the shift, (genes,); probabilities by profiles and
    ridge together, (cells, labels).
    """
    known, asked = expression(reference, query)
    ridge = _ridge_of(reference, query, label_key=label_key)
    batches = None if batch_key is None else column(reference, batch_key)
    classes, profiles = _profiles(known, column(reference, label_key), batches)
    mixture = ridge.predict_proba(asked).mean(axis=0) @ profiles
    shift = np.asarray(asked.mean(axis=0)).ravel() - mixture
    guess = _guess(asked, profiles, ridge, shift)
    alike = np.interp(guess.mean(axis=0).max(), MIXED, (1, 0))
    first = shift
    for _ in range(ROUNDS if alike else 0):
        shift = alike * _shift_of_types(asked, profiles, guess) + (1 - alike) * first
        guess = _guess(asked, profiles, ridge, shift)
    return classes, profiles, shift, guess


def _guess(
    asked: csr_matrix, profiles: np.ndarray, ridge: LogisticRegression, shift: np.ndarray
) -> np.ndarray:
    moved = copy(ridge)
    moved.intercept_ = ridge.intercept_ - ridge.coef_ @ shift
    return (_resembling(asked, profiles, shift) + moved.predict_proba(asked)) / 2


def _shift_of_types(asked: csr_matrix, profiles: np.ndarray, guess: np.ndarray) -> np.ndarray:
    """Mean of types' shifts, (genes,); those with less than 2 % of the cells weigh less.

    Common types are made likelier by their share first (Saerens et al. 2002, Neural Comput. 14:21,
    one step), which leaves less to types that are not there.
    """
    likely = guess * guess.mean(axis=0)
    likely /= likely.sum(axis=1, keepdims=True)
    cells = likely.sum(axis=0)
    weights = np.minimum(cells / (PRESENT * len(guess)), 1)
    means = (asked.T @ likely).T / np.maximum(cells, EPSILON)[:, None]
    return np.asarray(weights @ (means - profiles) / weights.sum())


def _profiles(
    known: csr_matrix, labels: np.ndarray, batches: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """List the labels, sorted, and each one's mean expression, (labels, genes).

    Where batches are known, a gene's mean in a type and batch is taken to be the sum of an effect
    of each (least squares, all types and batches alike, batches drawn to 0), and profiles are the
    types' effects. The mean of a type that one batch has would be that batch's as well.
    """
    classes, codes = np.unique(labels, return_inverse=True)
    batch = np.zeros_like(codes) if batches is None else np.unique(batches, return_inverse=True)[1]
    pair, shape = codes * (batch.max() + 1) + batch, (len(classes), batch.max() + 1)
    weights = 1 / (np.bincount(pair)[pair] + FEW)
    measured = np.bincount(pair, weights, minlength=shape[0] * shape[1]).reshape(shape)
    # the normal equations of both effects, with those of the batches eliminated
    share = measured / (measured.sum(axis=0) + DRAWN_TO_ZERO)
    normal = np.diag(measured.sum(axis=1)) - share @ measured.T
    pull = (np.eye(len(classes))[codes] - share.T[batch]) * weights[:, None]
    return classes, np.linalg.solve(normal, (known.T @ pull).T)


def _resembling(
    asked: csr_matrix, profiles: np.ndarray, shift: np.ndarray | float = 0.0
) -> np.ndarray:
    """Softmax of each cell's likeness to each profile, (cells, labels); cells stay sparse.

    Correlation after the mean of the profiles, as shifted, is taken away, and all that is along it:
    how much of everything a cell has (reads, foreign ones among them) says nothing of its type.
    """
    from scipy.special import softmax
    from sklearn.preprocessing import normalize

    centre = profiles.mean(axis=0)
    usual = (centre + shift) / max(float(np.linalg.norm(centre + shift)), EPSILON)
    directions = profiles - centre
    directions = normalize(directions - np.outer(directions @ usual, usual))
    squares = np.asarray(asked.multiply(asked).sum(axis=1)).ravel() - (asked @ usual) ** 2
    likeness = (asked @ directions.T) / np.sqrt(np.maximum(squares, EPSILON))[:, None]
    return np.asarray(softmax(SHARPNESS * likeness, axis=1))
