"""Sets of labels that hold the true one as often as was asked for, whatever gave the scores."""

from __future__ import annotations

from collections.abc import Mapping
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


def label_p_values(
    calibration: ArrayLike,
    folds: ArrayLike,
    scores: Mapping[int, np.ndarray],
    *,
    codes: ArrayLike | None = None,
    careful: bool = False,
) -> np.ndarray:
    """Share of held-out cells that are at least as strange as each label would be for each cell.

    A held-out cell was judged by what was learned without its donors, so a new cell is compared
    with it as judged by the same: both by answers that had as much to learn from. With all folds'
    cells against one answer learned from everything, sets are too large wherever one donor more
    makes labels better (measured in ``docs/lab-notes.md``).

    Parameters
    ----------
    calibration
        Nonconformity of the true label of held-out cells, (held-out cells,).
    folds
        With whom each of them was held out, (held-out cells,).
    scores
        For each fold the nonconformity of every label for each new cell, by what was learned
        without that fold, (cells, labels).
    codes
        Column of each held-out cell's true label. If given, a label is compared with the cells
        that have it, so that the promise holds for each cell type (Vovk 2012, *Conditional
        validity*, arXiv:1209.2673; "Mondrian").
    careful
        Whether a label is as strange as for that fold's answer for which it is least strange, and
        compared with all held-out cells, so that sets hold the true one at least as often as was
        asked for, whatever folds do (CV-minmax of Barber et al. 2021).

    Returns
    -------
    (cells, labels), in [0, 1]; 1 for a label that no held-out cell has, if told `codes`.

    Notes
    -----
    Cross-validation+ of Barber et al. 2021 (Ann. Stat. 49:486), for labels as in Romano et al.
    2020. Each cell counts alike, whoever it is from: donors that weigh alike (Dunn et al. 2023, J.
    Am. Stat. Assoc. 118:2491) fell short among those of unlike studies (``docs/lab-notes.md``).
    With one fold it is the conformal prediction of Vovk, Gammerman & Shafer 2005,
    *Algorithmic learning in a random world*.
    """
    known, fold_of = np.asarray(calibration, dtype=np.float64), np.asarray(folds)
    result = np.zeros_like(next(iter(scores.values())), dtype=np.float64)
    least = np.min(list(scores.values()), axis=0) if careful else None
    for some, columns in _compared(len(known), result.shape[1], codes):
        if least is not None:
            result[:, columns] = _tail(known[some], least[:, columns])
            continue
        for fold, strange in scores.items():
            mine = known[some][fold_of[some] == fold]
            result[:, columns] += _at_least(mine, strange[:, columns])
        result[:, columns] = (1 + result[:, columns]) / (len(some) + 1)
    return result


def held_out_p_values(
    codes: ArrayLike,
    folds: ArrayLike,
    judged: Mapping[int, Mapping[int, np.ndarray]],
    *,
    by_class: bool = False,
) -> np.ndarray:
    """P-value of each held-out cell's true label, had its fold been the query of the others.

    Parameters
    ----------
    codes
        Column of each held-out cell's true label, (held-out cells,).
    folds
        With whom each of them was held out, (held-out cells,).
    judged
        ``judged[one][other]`` is the nonconformity of every label for the cells of fold `one`, by
        what was learned without `one` and `other`, (cells of `one`, labels).
    by_class
        Whether a label is compared with the cells that have it.

    Returns
    -------
    (held-out cells,), by `label_p_values`. Cells of a type that is only in the two folds left out
    are not compared with.
    """
    true, fold_of = np.asarray(codes), np.asarray(folds)
    result = np.empty(len(true))
    for one, by_other in judged.items():
        mine, theirs, strange = fold_of == one, [], []
        for other in by_other:
            rows = np.flatnonzero(fold_of == other)
            learned = np.isin(true[rows], true[~np.isin(fold_of, (one, other))])
            theirs.append(rows[learned])
            strange.append(judged[other][one][learned, true[rows[learned]]])
        rows = np.concatenate(theirs)
        found = label_p_values(
            np.concatenate(strange), fold_of[rows], by_other, codes=true[rows] if by_class else None
        )
        result[mine] = found[np.arange(mine.sum()), true[mine]]
    return result


def against_held_out(
    held_out: ArrayLike, asked: ArrayLike, *, codes: ArrayLike | None = None
) -> np.ndarray:
    """Share of held-out cells whose true label has a p-value as small as each label's.

    A p-value that is an average over folds is too seldom small or large, since answers learned
    without one fold or another differ, so sets of such are too large where most labels are kept and
    too small elsewhere (Linusson et al. 2017, *On the calibration of aggregated conformal
    predictors*, PMLR 60:154). Held-out cells' own p-values show by how much.

    Parameters
    ----------
    held_out
        As `held_out_p_values` gives them, (held-out cells,).
    asked
        As `label_p_values` gives them, (cells, labels).
    codes
        Column of each held-out cell's true label; if given, a label is compared with the cells that
        have it.

    Returns
    -------
    (cells, labels), in (0, 1].
    """
    known, given = -np.asarray(held_out, dtype=np.float64), -np.asarray(asked, dtype=np.float64)
    result = np.empty_like(given)
    for some, columns in _compared(len(known), given.shape[1], codes):
        result[:, columns] = _tail(known[some], given[:, columns])
    return result


def _compared(cells: int, labels: int, codes: ArrayLike | None) -> list[tuple[np.ndarray, slice]]:
    """List which held-out cells which labels are compared with: all, or each with its own."""
    if codes is None:
        return [(np.arange(cells), slice(None))]
    return [(np.flatnonzero(np.equal(codes, at)), slice(at, at + 1)) for at in range(labels)]


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
