"""Sets of labels that hold the true one as often as was asked for, whatever gave the scores."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from pancyte.errors import InputError, UsageError

Kind = Literal["lac", "aps", "raps"]
PENALTY, FREE_LABELS = 0.01, 2


def nonconformity(probabilities: ArrayLike, *, kind: Kind = "lac") -> np.ndarray:
    """How strange each label would be for each cell, given its probabilities.

    Parameters
    ----------
    probabilities
        (cells, labels).
    kind
        ``"lac"`` is 1 minus the label's probability and gives the smallest sets on average
        (Sadinle et al. 2019, J. Am. Stat. Assoc. 114:223). ``"aps"`` adds up the probabilities
        from the largest down to the label's own, so that hard cells get larger sets (Romano et
        al. 2020, arXiv:2006.02544). ``"raps"`` adds .01 for each label beyond the second, which
        keeps those sets short (Angelopoulos et al. 2021, arXiv:2009.14193).

    Returns
    -------
    (cells, labels), larger is stranger. No chance is involved: a cell's scores depend on its
    probabilities alone.
    """
    if kind not in get_args(Kind):
        raise UsageError(f"There are no {kind!r} sets.", fix="Use lac, aps or raps.")
    given = np.asarray(probabilities, dtype=np.float64)
    if kind == "lac":
        return 1 - given
    order = np.argsort(-given, axis=1, kind="stable")
    summed = np.cumsum(np.take_along_axis(given, order, axis=1), axis=1)
    if kind == "raps":
        ranks = np.arange(1, given.shape[1] + 1)
        summed = summed + PENALTY * np.maximum(0, ranks - FREE_LABELS)
    scores = np.empty_like(given)
    np.put_along_axis(scores, order, summed, axis=1)
    return scores


def shares_as_strange(
    probabilities: ArrayLike, strangeness: ArrayLike, *, counted: ArrayLike | None = None
) -> np.ndarray:
    """In how many of these cells the true label is at least as strange, by their probabilities.

    How sure a method is differs between donors, and more between laboratories, beyond how often it
    is right. Among the cells it came with, a label is as strange here as another one elsewhere.

    Parameters
    ----------
    probabilities
        Calibrated, of cells that were measured together, (cells, labels).
    strangeness
        Of each label for each of them, as `nonconformity` gives it, (cells, labels).
    counted
        Which cells count, (cells,) bool; all if not given.

    Returns
    -------
    (cells, labels), in [0, 1]: the probability of all labels that are at least as strange, over
    that of all. No true label is looked at. For a single cell it is what its less probable labels
    add up to.

    Notes
    -----
    Ranks under a predicted distribution as scores: Chernozhukov, Wüthrich & Zhu 2021, PNAS
    118:e2107794118. There it is the distribution of one case, here of all cells measured together.
    """
    given, strange = np.asarray(probabilities, dtype=np.float64), np.asarray(strangeness)
    rows = slice(None) if counted is None else np.asarray(counted)
    order = np.argsort(strange[rows], axis=None, kind="stable")
    sorted_, mass = strange[rows].ravel()[order], given[rows].ravel()[order]
    below = np.concatenate([[0.0], np.cumsum(mass)])
    whole = max(below[-1], np.finfo(np.float64).tiny)
    return np.asarray(1 - below[np.searchsorted(sorted_, strange, side="left")] / whole)


def label_p_values(
    held_out: ArrayLike,
    codes: ArrayLike,
    asked: ArrayLike,
    *,
    by_class: bool = False,
    wrong: float = 0.0,
) -> np.ndarray:
    """How often the true label is as strange as each label would be for each cell.

    It is said twice: by the query's own probabilities, and by how often held-out cells' true labels
    were as strange by theirs. The larger of the two is returned, so that a label is only left out
    where both say so.

    Parameters
    ----------
    held_out
        Each label's share (`shares_as_strange`) in each held-out cell, among the cells that were
        held out with it, (held-out cells, labels).
    codes
        Column of each held-out cell's label, (held-out cells,).
    asked
        Each label's share in each new cell, (cells, labels).
    by_class
        Whether a label is compared with the cells that have it, so that the promise holds for each
        cell type (Vovk 2012, *Conditional validity*, arXiv:1209.2673; "Mondrian").
    wrong
        Share of `codes` that are wrong, any other one as likely. As many cells as have another
        label that strange are not counted.

    Returns
    -------
    (cells, labels), in (0, 1]; 1 for a label that no held-out cell has, if `by_class`.

    Notes
    -----
    If the query is to the reference as held-out cells are to the others, this is conformal
    prediction (Vovk, Gammerman & Shafer 2005, *Algorithmic learning in a random world*) with whole
    donors, not cells, drawn alike. Wrong labels: Sesia, Wang & Tong 2023, arXiv:2309.05092. What it
    replaced is told in ``docs/lab-notes.md``.
    """
    known, given = np.asarray(held_out, dtype=np.float64), np.asarray(asked, dtype=np.float64)
    own = np.arange(known.shape[1]) == np.asarray(codes)[:, None]
    if not by_class:
        return np.maximum(given, _rank(known[own], known[~own], given, wrong))
    columns = [
        _rank(column[mine], column[~mine], new, wrong)
        for column, mine, new in zip(known.T, own.T, given.T, strict=True)
    ]
    return np.maximum(given, np.column_stack(columns))


def _rank(own: np.ndarray, others: np.ndarray, asked: np.ndarray, wrong: float) -> np.ndarray:
    """Share of true labels that are as strange, if a share of them is wrong."""
    if not wrong or not len(others):
        return _tail(-own, -asked)
    by_chance = _at_least(-others, -asked) * (len(own) / len(others))
    count = (_at_least(-own, -asked) - wrong * by_chance) / (1 - wrong)
    return (1 + np.clip(count, 0, len(own))) / (1 + len(own))


def check_rate(alpha: float) -> None:
    """Refuse an error rate that is none.

    Raises
    ------
    UsageError
        Unless it is above 0 and below 1.
    """
    if not 0 < alpha < 1:
        raise UsageError(f"The error rate is {alpha}.", fix="Give one between 0 and 1, e.g. .05.")


def label_sets(p_values: ArrayLike, alpha: float) -> np.ndarray:
    """List the labels that are not too strange for each cell.

    Parameters
    ----------
    p_values
        As `label_p_values` gives them, (cells, labels).
    alpha
        Tolerated error rate, in (0, 1).

    Returns
    -------
    (cells, labels) bool. A cell may keep no label: where the best one is right more often than
    was asked for, some must.
    """
    check_rate(alpha)
    # shares are exact to the last few bits only
    return np.asarray(p_values) > alpha + 1e-9


def with_best(sets: ArrayLike, probabilities: ArrayLike) -> np.ndarray:
    """Add each cell's most probable label to its set, so that none is empty. (cells, labels)."""
    kept = np.array(sets)
    kept[np.arange(len(kept)), np.argmax(probabilities, axis=1)] = True
    return kept


def p_values(
    calibration: ArrayLike,
    scores: ArrayLike,
    *,
    calibration_groups: ArrayLike | None = None,
    groups: ArrayLike | None = None,
) -> np.ndarray:
    """Share of known cells at least as strange as each new one.

    Parameters
    ----------
    calibration
        Strangeness of held-out cells of known types, (known cells,).
    scores
        Strangeness of new cells, (cells,).
    calibration_groups, groups
        If given, a cell is compared with the known cells of its own group, such as those with
        the same predicted label.

    Returns
    -------
    (cells,), in (0, 1]. For a cell like the known ones, p ≤ t has a probability of t at most
    (Bates et al. 2023, *Testing for outliers with conformal p-values*, Ann. Stat. 51:149). It
    is 1 in a group without known cells.
    """
    known, asked = np.asarray(calibration, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if not np.isfinite(known).all() or not np.isfinite(asked).all():
        raise InputError("A strangeness is NaN or infinite.", fix="Check the embedding.")
    if groups is None or calibration_groups is None:
        return _tail(known, asked)
    result, of_known, of_asked = np.ones(len(asked)), np.asarray(calibration_groups), groups
    for group in np.unique(of_asked):
        rows = np.asarray(of_asked) == group
        result[rows] = _tail(known[of_known == group], asked[rows])
    return result


def _tail(known: np.ndarray, asked: np.ndarray) -> np.ndarray:
    return (1 + _at_least(known, asked)) / (len(known) + 1)


def _at_least(known: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Count the known scores that are not below each one asked about."""
    return len(known) - np.searchsorted(np.sort(known), asked, side="left")
