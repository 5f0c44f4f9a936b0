"""A second opinion on the labels: is it the same as often as on held-out cells?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import hypergeom

LESS = 0.1
"""A label is doubtful if the second opinion is the same less often by so much than held out, …"""
BY_CHANCE = 0.01
"""… and if by chance it would be so with at most this probability."""


@dataclass(frozen=True)
class SecondOpinion:
    """How often another way to label gives the same label, on held-out cells and on the query.

    Disagreement needs no true labels, and where two ways disagree more than they used to at least
    one of them is wrong more often than it used to be (Baek et al. 2022, *Agreement-on-the-line*,
    arXiv:2206.13089).

    Attributes
    ----------
    name
        Of the other way.
    classes
        The labels, sorted.
    given, answers
        Code of the label given to each query cell, and of its own, (cells,).
    chances
        Its own calibrated probability of the label given, (cells,).
    held_out, query
        Share of the cells given each label for which it is the same, (labels,); NaN for a label
        that no cell was given.
    over_all
        The same over all labels, held out and in the query, (2,).
    doubtful
        Labels for which it is the same clearly less often in the query, (labels,) bool.
    """

    name: str
    classes: np.ndarray
    given: np.ndarray
    answers: np.ndarray
    chances: np.ndarray
    held_out: np.ndarray
    query: np.ndarray
    over_all: np.ndarray
    doubtful: np.ndarray

    @property
    def doubted(self) -> np.ndarray:
        """Which query cells were given a doubtful label, (cells,) bool."""
        return np.asarray(self.doubtful[self.given])

    def stays(self, sets: np.ndarray) -> np.ndarray:
        """Add it to the label sets, (cells, labels), of the cells given a doubtful label."""
        kept, rows = sets.copy(), np.flatnonzero(self.doubted)
        kept[rows, self.answers[rows]] = True
        return kept

    def trust(self, probability: np.ndarray) -> np.ndarray:
        """Lower the probability of doubtful labels, (cells,), to its own if that is less."""
        return np.where(self.doubted, np.minimum(probability, self.chances), probability)

    def told(self) -> str:
        """Say for the user how often it agrees, and which labels are doubtful."""
        known, asked = (f"{100 * share:.0f} %" for share in self.over_all)
        said = (
            f"{self.name}, a second opinion, gives the same label to {known} of the held-out cells "
            f"and to {asked} of the query's"
        )
        if not self.doubtful.any():
            return said
        shares = np.column_stack([self.held_out, self.query])
        worst = [row for row in np.argsort(self.query) if self.doubtful[row]]
        names = ", ".join(
            "{} ({:.0f} and {:.0f} %)".format(self.classes[row], *(100 * shares[row]))
            for row in worst
        )
        return f"{said}; doubtful, so that its answer stays in the sets of their cells: {names}"

    def record(self) -> dict[str, object]:
        """Return the numbers for the history."""
        each = zip(self.classes, self.held_out, self.query, self.doubtful, strict=True)
        return {
            "by": self.name,
            "told": self.told(),
            "same_held_out": _rounded(self.over_all[0]),
            "same_in_query": _rounded(self.over_all[1]),
            "by_label": [
                {"label": str(label), "held_out": _rounded(known), "query": _rounded(asked)}
                | {"doubtful": bool(doubtful)}
                for label, known, asked, doubtful in each
            ],
        }


def second_opinion(
    name: str,
    classes: np.ndarray,
    held_out: tuple[np.ndarray, np.ndarray],
    query: tuple[np.ndarray, np.ndarray],
    *,
    real: np.ndarray,
) -> SecondOpinion:
    """Hold another way's labels against those given.

    Parameters
    ----------
    name
        Of the other way.
    classes
        The labels, sorted.
    held_out, query
        Calibrated probabilities of what labels, and of the other way, (cells, labels) each.
    real
        Query cells that count, (cells,) bool: empty ones say nothing.
    """
    given, own = (part.argmax(axis=1) for part in query)
    chances = query[1][np.arange(len(given)), given]
    pairs = tuple(part.argmax(axis=1) for part in held_out), (given[real], own[real])
    labels = len(classes)
    sizes = np.stack([np.bincount(first, minlength=labels) for first, _ in pairs])
    same = np.stack([np.bincount(a[a == b], minlength=labels) for a, b in pairs])
    known, asked = same / np.where(sizes > 0, sizes, np.nan)
    others = sizes - same
    # Fisher's exact test: so many of all disagreements, or more, in the query
    chance = hypergeom.sf(others[1] - 1, sizes.sum(axis=0), others.sum(axis=0), sizes[1])
    doubtful = (known - asked > LESS) & (chance <= BY_CHANCE)
    over_all = same.sum(axis=1) / np.maximum(sizes.sum(axis=1), 1)
    return SecondOpinion(name, classes, given, own, chances, known, asked, over_all, doubtful)


def _rounded(share: float) -> float | None:
    return None if np.isnan(share) else round(float(share), 4)
