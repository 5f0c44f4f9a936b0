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


def threshold(scores: ArrayLike, alpha: float, *, groups: ArrayLike | None = None) -> float:
    """Strangeness that a new cell's true label exceeds with probability `alpha` at most.

    Parameters
    ----------
    scores
        Nonconformity of the true label of held-out cells, (cells,).
    alpha
        Tolerated error rate, in (0, 1).
    groups
        Donor of each cell, (cells,). If given, each donor counts alike, however many of its
        cells were measured, and so the promise is about a cell of a new donor drawn like these
        (Dunn et al. 2023, J. Am. Stat. Assoc. 118:2491, pooling of donors' distributions).

    Returns
    -------
    The ``⌈(n + 1)(1 - alpha)⌉``-th smallest score, or infinity if there are too few.

    Notes
    -----
    Vovk, Gammerman & Shafer 2005, *Algorithmic learning in a random world*. If the cells are
    exchangeable with the new one, the true label is kept with probability at least 1 - alpha.
    """
    if not 0 < alpha < 1:
        raise UsageError(f"The error rate is {alpha}.", fix="Give one between 0 and 1, e.g. .05.")
    given = np.asarray(scores, dtype=np.float64)
    if groups is None:
        rank = int(np.ceil((len(given) + 1) * (1 - alpha) - 1e-9))
        return float(np.sort(given)[rank - 1]) if rank <= len(given) else np.inf
    _, codes, counts = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    order = np.argsort(given, kind="stable")
    mass = np.cumsum((1 / counts[codes] / len(counts))[order])
    beyond = int(np.searchsorted(mass, 1 - alpha - 1e-9))
    return float(given[order][beyond]) if beyond < len(given) else np.inf


def class_thresholds(
    scores: ArrayLike, codes: ArrayLike, alpha: float, *, labels: int
) -> np.ndarray:
    """Give each label a threshold of its own, so that the promise holds for each cell type.

    Parameters
    ----------
    scores
        Nonconformity of the true label of held-out cells, (cells,).
    codes
        Column of each cell's true label, (cells,).
    alpha
        Tolerated error rate for each label.
    labels
        Number of labels.

    Returns
    -------
    (labels,); infinity, so that the label is in every set, where fewer held-out cells than
    about 1/alpha have it (Vovk 2012, *Conditional validity*, arXiv:1209.2673; "Mondrian").
    """
    given, truth = np.asarray(scores, dtype=np.float64), np.asarray(codes)
    return np.array([threshold(given[truth == code], alpha) for code in range(labels)])


def label_sets(
    scores: ArrayLike, thresholds: ArrayLike, *, allow_empty: bool = False
) -> np.ndarray:
    """List the labels that are not too strange for each cell.

    Parameters
    ----------
    scores
        Nonconformity of every label, (cells, labels).
    thresholds
        One, or one for each label.
    allow_empty
        Whether a cell may keep no label. If not, the least strange one stays: then the promise
        is more than kept wherever the best label is right more often than was asked for.

    Returns
    -------
    (cells, labels) bool.
    """
    given = np.asarray(scores, dtype=np.float64)
    kept = given <= np.asarray(thresholds)
    if not allow_empty:
        none = np.flatnonzero(~kept.any(axis=1))
        kept[none, given[none].argmin(axis=1)] = True
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
    at_least = len(known) - np.searchsorted(np.sort(known), asked, side="left")
    return (1 + at_least) / (len(known) + 1)
