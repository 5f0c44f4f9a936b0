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
    answers
        Code of its label for each query cell, (cells,).
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
    answers: np.ndarray
    held_out: np.ndarray
    query: np.ndarray
    over_all: np.ndarray
    doubtful: np.ndarray

    def stays(self, sets: np.ndarray, given: np.ndarray) -> np.ndarray:
        """Add it to the sets, (cells, labels), of the cells given a doubtful label, (cells,)."""
        kept, rows = sets.copy(), np.flatnonzero(self.doubtful[given])
        kept[rows, self.answers[rows]] = True
        return kept

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
        Codes of the labels given, and of its own, (cells,) each.
    real
        Query cells that count, (cells,) bool: empty ones say nothing.
    """
    pairs = held_out, (query[0][real], query[1][real])
    labels = len(classes)
    sizes = np.stack([np.bincount(given, minlength=labels) for given, _ in pairs])
    same = np.stack([np.bincount(given[given == own], minlength=labels) for given, own in pairs])
    known, asked = same / np.where(sizes > 0, sizes, np.nan)
    others = sizes - same
    # Fisher's exact test: so many of all disagreements, or more, in the query
    chance = hypergeom.sf(others[1] - 1, sizes.sum(axis=0), others.sum(axis=0), sizes[1])
    doubtful = (known - asked > LESS) & (chance <= BY_CHANCE)
    over_all = same.sum(axis=1) / np.maximum(sizes.sum(axis=1), 1)
    return SecondOpinion(name, classes, query[1], known, asked, over_all, doubtful)


def _rounded(share: float) -> float | None:
    return None if np.isnan(share) else round(float(share), 4)
