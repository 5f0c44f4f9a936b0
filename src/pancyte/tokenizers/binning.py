"""Quantile bins within each cell, compiled: scGPT's value binning over distinct counts.

Genes of a cell with the same count have the same value. So quantiles, logarithms and digits are
worked out once for each distinct count, of which a cell has a few dozen, and looked up.
"""

from __future__ import annotations

import numba
import numpy as np

from pancyte.tokenizers.packing import Rows

# Whole counts below this are looked up directly; the few larger ones are searched for
LARGE = 255


def quantile_bins(
    rows: Rows, bins: int, uniforms: np.ndarray | None = None, *, logged: bool = True
) -> np.ndarray:
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
    logged
        Whether to take the logarithm of normalised counts first, or bin raw ones.

    Returns
    -------
    Bins from 1 to ``bins - 1``, float32, (stored,); anything in the gaps between cells.
    """
    slots = _slots(rows.counts)
    levels, heights, bounds = _levels(rows.counts, slots, rows.starts, rows.stops)
    # numpy's own logarithm, whose last bit may differ from the compiler's
    normalised = levels * np.repeat(rows.scale, np.diff(bounds))
    values = np.log1p(normalised) if logged else levels
    quantiles = np.linspace(0, 1, bins - 1)
    lower, upper = _digits(heights, values, bounds, quantiles)
    found = np.empty(len(rows.counts), np.float32)
    drawn = np.empty(0) if uniforms is None else uniforms
    where = rows.counts, slots, rows.starts, rows.stops
    _look_up(*where, levels, bounds, lower, upper, drawn, found)
    return found


@numba.njit(nogil=True, cache=True)
def _slot(count):  # type: ignore[no-untyped-def]
    """Give a small whole count its own number and any other `LARGE`."""
    whole = np.int32(count)
    # bitwise, because a branch would keep loops from being vectorised
    return np.uint8(whole if (whole >= 0) & (whole < LARGE) & (whole == count) else LARGE)


@numba.njit(nogil=True, cache=True)
def _slots(counts: np.ndarray) -> np.ndarray:
    slots = np.empty(len(counts), np.uint8)
    for position in range(len(counts)):
        slots[position] = _slot(counts[position])
    return slots


@numba.njit(nogil=True, cache=True)
def _levels(  # type: ignore[no-untyped-def]
    counts, slots, starts, stops
):
    """Find each row's distinct counts, rising, and how many features have each."""
    levels = np.empty(len(counts), np.float64)
    heights = np.empty(len(counts), np.int64)
    bounds = np.zeros(len(starts) + 1, np.int64)
    tally = np.empty(4 * (LARGE + 1), np.uint32)
    end = 0
    for row in range(len(starts)):
        # Views, because indices that surely begin at 0 spare the check for negative ones
        taken = slots[starts[row] : stops[row]]
        _count(taken, tally)
        first = end
        for slot in range(LARGE):
            if tally[slot]:
                levels[end], heights[end] = slot, tally[slot]
                end += 1
        if tally[LARGE]:
            values = counts[starts[row] : stops[row]]
            for place in range(len(taken)):
                if taken[place] == LARGE:
                    levels[end] = values[place]
                    end += 1
            end = _merge(levels, heights, tally, first, end)
        bounds[row + 1] = end
    return levels[:end], heights[:end], bounds


@numba.njit(nogil=True, cache=True)
def _count(taken: np.ndarray, tally: np.ndarray) -> None:
    """Count the slots of a row into the first quarter of `tally`."""
    tally[:] = 0
    for place in range(len(taken)):
        # Neighbours count in different quarters: a counter just written is slow to read
        quarter = np.uint64(place & 3) << np.uint64(8)
        tally[quarter | np.uint64(taken[place])] += np.uint32(1)
    size = LARGE + 1
    for slot in range(size):
        tally[slot] += tally[slot + size] + tally[slot + 2 * size] + tally[slot + 3 * size]


@numba.njit(nogil=True, cache=True)
def _merge(  # type: ignore[no-untyped-def]
    levels, heights, tally, first, end
):
    """Sort a row's levels, the large ones still repeated; return the end of the distinct."""
    levels[first:end].sort()
    distinct = first
    for place in range(first, end):
        level = levels[place]
        if distinct > first and levels[distinct - 1] == level:
            heights[distinct - 1] += 1
        else:
            levels[distinct] = level
            heights[distinct] = 1 if _slot(level) == LARGE else tally[_slot(level)]
            distinct += 1
    return distinct


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
    counts, slots, starts, stops, levels, bounds, lower, upper, uniforms, found
) -> None:
    """Give each count a bin between its two digits, drawn or the middle one."""
    low, high = np.zeros(LARGE + 1, np.int64), np.zeros(LARGE + 1, np.int64)
    middle = np.zeros(LARGE + 1, np.float32)
    for row in range(len(starts)):
        first, last = bounds[row], bounds[row + 1]
        large = False
        for level in range(first, last):
            slot = _slot(levels[level])
            large = large or slot == LARGE
            low[slot], high[slot] = lower[level], upper[level]
            middle[slot] = (lower[level] + 1 + upper[level]) // 2
        here = slice(starts[row], stops[row])
        values, taken, bins = counts[here], slots[here], found[here]
        for place in range(len(bins)):
            slot = taken[place]
            if large and slot == LARGE:
                level = first + np.searchsorted(levels[first:last], values[place])
                low[slot], high[slot] = lower[level], upper[level]
                middle[slot] = (lower[level] + 1 + upper[level]) // 2
            if len(uniforms):
                drawn = uniforms[here][place] * (low[slot] - high[slot]) + high[slot]
                bins[place] = np.ceil(drawn)
            else:
                bins[place] = middle[slot]


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
        here = slice(starts[row], stops[row])
        features, values, numbers = ids[here], counts[here], drawn[here]
        cell = np.uint64(0)
        for place in range(len(numbers)):
            pair = np.uint64(features[place]) << np.uint64(32) | np.uint64(np.int64(values[place]))
            cell += pair * (pair + golden)
        cell = _mixed(cell ^ np.uint64(seed))
        for place in range(len(numbers)):
            state = cell + golden * (np.uint64(features[place]) + np.uint64(1))
            numbers[place] = np.float64(_mixed(state) >> np.uint64(11)) * 2.0**-53
    return drawn
