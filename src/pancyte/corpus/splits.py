"""Who learns and who is asked: splits that keep every donor, study or batch on one side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from pancyte.errors import InputError, UsageError


def leave_one_group_out(
    groups: npt.ArrayLike,
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Hold out each donor (study, batch …) in turn.

    Parameters
    ----------
    groups
        The group of each cell, (cells,).

    Yields
    ------
    name, train, test
        The group held out, and row numbers of the others and of its own, rising. Groups come
        in alphabetical order.

    Raises
    ------
    InputError
        If a cell has no group, or all have the same.
    """
    named = _named(groups)
    for group in np.unique(named):
        train, test = np.flatnonzero(named != group), np.flatnonzero(named == group)
        require_apart(named, train, test)
        yield str(group), train, test


def hold_out_groups(
    groups: npt.ArrayLike, held_out: float | Sequence[str], *, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Hold out whole donors (studies, batches …): those named, or a random share of them.

    Parameters
    ----------
    groups
        The group of each cell, (cells,).
    held_out
        Names of the groups, or the fraction of groups to draw, between 0 and 1; at least one
        group ends on each side.
    seed
        Seed of the draw.

    Returns
    -------
    train, test
        Row numbers, rising.

    Raises
    ------
    InputError
        If a cell has no group, all have the same, or a named group does not exist.
    """
    named = _named(groups)
    levels = np.unique(named)
    if isinstance(held_out, int | float):
        if not 0 < held_out < 1:
            raise UsageError(f"The fraction held out is {held_out}.", fix="Give one in (0, 1).")
        number = min(len(levels) - 1, max(1, round(held_out * len(levels))))
        chosen = np.random.default_rng(seed).permutation(levels)[:number]
    else:
        chosen = np.asarray([held_out] if isinstance(held_out, str) else held_out, dtype=str)
        if len(missing := np.setdiff1d(chosen, levels)):
            raise InputError(
                f"There is no group {', '.join(map(repr, missing.tolist()))}.",
                fix=f"Groups: {_some(levels)}.",
            )
        if len(np.unique(chosen)) == len(levels):
            raise InputError("Every group is held out.", fix="Leave one to learn from.")
    held = np.isin(named, chosen)
    train, test = np.flatnonzero(~held), np.flatnonzero(held)
    require_apart(named, train, test)
    return train, test


def stratified_subsample(labels: npt.ArrayLike, fraction: float, *, seed: int) -> np.ndarray:
    """Draw a share of the cells of every label, at least one of each.

    Parameters
    ----------
    labels
        The label of each cell, (cells,).
    fraction
        Share of each label's cells, in (0, 1].
    seed
        Seed of the draw.

    Returns
    -------
    Row numbers, rising.
    """
    if not 0 < fraction <= 1:
        raise UsageError(f"The fraction to keep is {fraction}.", fix="Give one in (0, 1].")
    codes, levels = pd.factorize(np.asarray(labels).astype(str), sort=True)
    rng = np.random.default_rng(seed)
    kept = []
    for code in range(len(levels)):
        rows = rng.permutation(np.flatnonzero(codes == code))
        kept.append(rows[: max(1, round(fraction * len(rows)))])
    return np.sort(np.concatenate(kept)) if kept else np.empty(0, np.int64)


def require_apart(groups: npt.ArrayLike, train: np.ndarray, test: np.ndarray) -> None:
    """Refuse a split with a cell, or any cell of one group, on both sides.

    Raises
    ------
    InputError
        Names the groups.
    """
    named = np.asarray(groups).astype(str)
    if not len(train) or not len(test):
        raise InputError("One side of the split has no cells.", fix="Hold out another group.")
    if len(both := np.intersect1d(named[train], named[test])):
        raise InputError(
            f"Cells of {_some(both)} are on both sides of the split.",
            fix="Put all cells of a group on one side (pancyte.corpus.splits.hold_out_groups).",
        )


def _named(groups: npt.ArrayLike) -> np.ndarray:
    series = pd.Series(np.asarray(groups))
    missing = int((series.isna() | (series.astype(str) == "")).sum())
    if missing:
        raise InputError(
            f"{missing:,} of {len(series):,} cells have no group to be split by.",
            fix="Drop those cells, or use another column.",
        )
    named = series.astype(str).to_numpy(dtype=str)
    if len(np.unique(named)) < 2:
        raise InputError(
            f"All cells are of one group ({_some(np.unique(named))}), so none can be held out.",
            fix="Use a column with several groups, such as donor or study.",
        )
    return named


def _some(names: np.ndarray) -> str:
    shown = ", ".join(map(repr, names[:8].tolist()))
    return f"{shown} and {len(names) - 8} more" if len(names) > 8 else shown or "none"
