"""Which setting matters: how much of a score's spread each explains, alone and with others."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd

from pancyte.errors import InputError


def decompose(runs: pd.DataFrame, factors: Sequence[str], value: str) -> pd.DataFrame:
    """Divide the variance of a score over runs among the settings that were varied.

    Parameters
    ----------
    runs
        One row for each combination of settings, each exactly once.
    factors
        Columns that were varied.
    value
        Column of the score.

    Returns
    -------
    One row per factor and one for all interactions. ``share`` is what the factor explains by
    itself, ``total`` what goes away with it, its interactions included; ``lowest`` and ``highest``
    are the extremes of the mean score over its values, and ``at`` is where it is lowest.

    Raises
    ------
    InputError
        If a combination is missing or comes twice, or the score is missing somewhere.

    Notes
    -----
    The functional analysis of variance of a full factorial design (Hoeffding 1948; Sobol 2001;
    Hutter et al., ICML 2014): exact, as every combination was run.
    """
    cube, levels = _cube(runs, factors, value)
    variance = cube.var()
    parts = _effects(cube)
    rows = []
    for axis, factor in enumerate(factors):
        means = cube.mean(axis=tuple(k for k in range(cube.ndim) if k != axis))
        rows.append(
            {
                "factor": factor,
                "share": parts[(axis,)],
                "total": sum(part for axes, part in parts.items() if axis in axes),
                "lowest": means.min(),
                "at": levels[axis][int(means.argmin())],
                "highest": means.max(),
            }
        )
    alone = sum(parts[(axis,)] for axis in range(cube.ndim))
    rows.append({"factor": "interactions", "share": sum(parts.values()) - alone})
    table = pd.DataFrame(rows).set_index("factor")
    table[["share", "total"]] /= variance if variance else 1.0
    return table


def _cube(
    runs: pd.DataFrame, factors: Sequence[str], value: str
) -> tuple[np.ndarray, list[list[object]]]:
    levels = [sorted(runs[factor].unique()) for factor in factors]
    places = runs.set_index(list(factors))[value]
    wanted = int(np.prod([len(known) for known in levels]))
    if len(places) != wanted or places.index.has_duplicates or places.isna().any():
        raise InputError(
            f"{len(places)} runs, {int(places.isna().sum())} of them without {value}, do not make "
            f"the {wanted} combinations of {', '.join(factors)}.",
            fix="Run every combination once.",
        )
    ordered = places.sort_index()
    return ordered.to_numpy(np.float64).reshape([len(known) for known in levels]), levels


def _effects(cube: np.ndarray) -> dict[tuple[int, ...], float]:
    """Variance of each main effect and of each interaction, by the axes it involves."""
    axes = range(cube.ndim)
    effects: dict[tuple[int, ...], np.ndarray] = {(): cube.mean(keepdims=True)}
    for size in range(1, cube.ndim + 1):
        for chosen in itertools.combinations(axes, size):
            others = tuple(axis for axis in axes if axis not in chosen)
            mean = cube.mean(axis=others, keepdims=True)
            lower = [part for known, part in effects.items() if set(known) < set(chosen)]
            effects[chosen] = mean - sum(lower, start=np.zeros(1))
    return {chosen: float((part**2).mean()) for chosen, part in effects.items() if chosen}
