"""Quantile bins within each cell, compiled: scGPT's value binning over distinct counts.

Genes of a cell with the same count have the same value. So quantiles, logarithms and digits are
worked out once for each distinct count, of which a cell has a few dozen, and looked up.
"""

from __future__ import annotations

import numba
import numpy as np

from pancyte.tokenizers.packing import Rows

# Whole counts below this are looked up directly; the few larger ones are searched for
SMALL = 256


def quantile_bins(rows: Rows, bins: int, uniforms: np.ndarray | None = None) -> np.ndarray:
    """Put each cell's non-zero values into equally filled bins, as scGPT does.

    The edges are the ``bins - 1`` quantiles, from 0 to 1, of the cell's log-normalised non-zero
    values (scGPT; Cui et al., Nature Methods 2024), interpolated as `numpy.quantile` does. A value
    that equals several edges belongs to all bins between them.

    Parameters
    ----------
    rows
        Cells under the vocabulary's ids.
    bins
        Number of bins, the one for zeros included.
    uniforms
        A number in [0, 1) for each stored count, by which a value that belongs to several bins
        draws one; without them it gets the middle one, the lower of two.

    Returns
    -------
    Bins from 1 to ``bins - 1``, float32, (stored,); anything in the gaps between cells.
    """
    levels, heights, bounds = _levels(rows.counts, rows.starts, rows.stops)
    # numpy's own logarithm, whose last bit may differ from the compiler's
    logged = np.log1p(levels * np.repeat(rows.scale, np.diff(bounds)))
    quantiles = np.linspace(0, 1, bins - 1)
    lower, upper = _digits(heights, logged, bounds, quantiles)
    found = np.empty(len(rows.counts), np.float32)
    drawn = np.empty(0) if uniforms is None else uniforms
    _look_up(rows.counts, rows.starts, rows.stops, levels, bounds, lower, upper, drawn, found)
    return found


@numba.njit(nogil=True, cache=True)
def _is_small(count: float) -> bool:
    return 0 <= count < SMALL and np.int64(count) == count


@numba.njit(nogil=True, cache=True)
def _levels(  # type: ignore[no-untyped-def]
    counts, starts, stops
):
    """Find each row's distinct counts, rising, and how many features have each."""
    levels = np.empty(len(counts), np.float64)
    heights = np.empty(len(counts), np.int64)
    bounds = np.zeros(len(starts) + 1, np.int64)
    tally = np.zeros(SMALL, np.int64)
    seen = np.empty(SMALL + max(1, (stops - starts).max()) if len(starts) else 1, np.float64)
    end = 0
    for row in range(len(starts)):
        tally[:] = 0
        distinct = 0
        for count in counts[starts[row] : stops[row]]:
            if _is_small(count):
                tally[np.int64(count)] += 1
            else:
                seen[distinct] = count
                distinct += 1
        large = distinct > 0
        for count in range(SMALL):
            if tally[count]:
                seen[distinct] = count
                distinct += 1
        if large:
            seen[:distinct].sort()
        first = end
        for count in seen[:distinct]:
            if end > first and levels[end - 1] == count:
                heights[end - 1] += 1
            else:
                levels[end] = count
                heights[end] = tally[np.int64(count)] if _is_small(count) else 1
                end += 1
        bounds[row + 1] = end
    return levels[:end], heights[:end], bounds


@numba.njit(nogil=True, cache=True)
def _digits(  # type: ignore[no-untyped-def]
    heights, logged, bounds, quantiles
):
    """Count for each level the edges below it, and those below it or equal."""
    lower, upper = np.empty(len(heights), np.int64), np.empty(len(heights), np.int64)
    edges = np.empty(len(quantiles), np.float64)
    for row in range(len(bounds) - 1):
        first, last = bounds[row], bounds[row + 1] - 1
        values = heights[first : last + 1].sum()
        level, before = first, np.int64(0)
        for place, quantile in enumerate(quantiles):
            if last < first:
                break
            target = (values - 1) * quantile
            index = np.int64(np.floor(target))
            while level < last and before + heights[level] <= index:
                before += heights[level]
                level += 1
            following = level + (level < last and before + heights[level] <= index + 1)
            step, part = logged[following] - logged[level], target - index
            # numpy's two formulas, each exact at its own end
            edges[place] = (
                logged[level] + step * part if part < 0.5 else logged[following] - step * (1 - part)
            )
        for level in range(first, last + 1):
            lower[level] = np.searchsorted(edges, logged[level], "left")
            upper[level] = np.searchsorted(edges, logged[level], "right")
    return lower, upper


@numba.njit(nogil=True, cache=True)
def _look_up(  # type: ignore[no-untyped-def]
    counts, starts, stops, levels, bounds, lower, upper, uniforms, found
) -> None:
    """Give each count a bin between its two digits, drawn or the middle one."""
    small = np.zeros(SMALL, np.int64)
    middle = np.zeros(SMALL, np.float32)
    for row in range(len(starts)):
        first, last = bounds[row], bounds[row + 1]
        for level in range(first, last):
            if _is_small(levels[level]):
                small[np.int64(levels[level])] = level
                middle[np.int64(levels[level])] = (lower[level] + 1 + upper[level]) // 2
        for position in range(starts[row], stops[row]):
            count = counts[position]
            if _is_small(count):
                if len(uniforms) == 0:
                    found[position] = middle[np.int64(count)]
                    continue
                level = small[np.int64(count)]
            else:
                level = first + np.searchsorted(levels[first:last], count)
            low, high = lower[level], upper[level]
            if len(uniforms):
                found[position] = np.ceil(uniforms[position] * (low - high) + high)
            else:
                found[position] = (low + 1 + high) // 2


@numba.njit(nogil=True, cache=True)
def _mixed(state: np.uint64) -> np.uint64:
    """Scramble 64 bits: the finaliser of SplitMix64 (Steele et al., OOPSLA 2014)."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


@numba.njit(nogil=True, cache=True)
def uniforms_of(  # type: ignore[no-untyped-def]
    ids, counts, starts, stops, seed
):
    """Draw a number in [0, 1) for each count from the seed and the cell's own contents.

    A cell gets the same numbers in whatever order, minibatch or thread it comes.
    """
    golden = np.uint64(0x9E3779B97F4A7C15)
    drawn = np.empty(len(counts), np.float64)
    for row in range(len(starts)):
        cell = np.uint64(0)
        for position in range(starts[row], stops[row]):
            pair = np.uint64(ids[position]) << np.uint64(32) | np.uint64(counts[position])
            cell += _mixed(pair + golden)
        cell = _mixed(cell ^ np.uint64(seed))
        for position in range(starts[row], stops[row]):
            state = cell + golden * (np.uint64(ids[position]) + np.uint64(1))
            drawn[position] = np.float64(_mixed(state) >> np.uint64(11)) * 2.0**-53
    return drawn
