"""Sorting of one cell's genes, compiled: stable and linear in their number.

Least significant digits first, as in Knuth, The Art of Computer Programming 3, 5.2.5. Where each
key goes is found in one loop and keys are moved in another: a processor that still waits for the
address of a store must guess whether the next counter it loads is the one being stored, and the two
loops apart are faster than one.
"""

from __future__ import annotations

import numba
import numpy as np

# 2048 counters of 4 bytes for each of three digits stay in the first-level cache
DIGIT = 11
# Bits of a score that are sorted by digits; the few genes that agree in them are compared
COARSE = 20
# How far out of place genes may be, on average, before every bit is sorted by digits
MOVES = 4


@numba.njit(nogil=True, cache=True)
def scratch(starts: np.ndarray, stops: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Allocate keys, spare keys and counters that suffice for the longest row."""
    longest = 0
    for row in range(len(starts)):
        longest = max(longest, stops[row] - starts[row])
    return (
        np.empty(longest, np.uint64),
        np.empty(longest, np.uint64),
        np.empty((3, 1 << DIGIT), np.uint32),
    )


@numba.njit(nogil=True, cache=True)
def radix_sort(
    keys: np.ndarray, spare: np.ndarray, length: int, bits: int, tallies: np.ndarray
) -> np.ndarray:
    """Sort ``keys[:length]`` by the lowest `bits` of their upper half, rising.

    Parameters
    ----------
    keys, spare
        uint64: what to sort by in the upper 32 bits; both are overwritten.
    length
        How many keys there are.
    bits
        Significant bits of the upper half, at most 32.
    tallies
        Counters, as `scratch` makes them.

    Returns
    -------
    Whichever of `keys` and `spare` holds the sorted keys.
    """
    passes = (bits + DIGIT - 1) // DIGIT
    digit = (bits + passes - 1) // passes
    size = 1 << digit
    mask = np.uint64(size - 1)
    for turn in range(passes):
        shift = np.uint64(32 + turn * digit)
        tally = tallies[turn]
        tally[:size] = 0
        for place in range(length):
            tally[(keys[place] >> shift) & mask] += np.uint32(1)
        _add_up(tally, size)
        for place in range(length):
            key = keys[place]
            value = (key >> shift) & mask
            target = tally[value]
            tally[value] = target + np.uint32(1)
            spare[target] = key
        keys, spare = spare, keys
    return keys


@numba.njit(nogil=True, cache=True)
def ranking(  # type: ignore[no-untyped-def]
    scores, length, work, order
) -> None:
    """Order ``scores[:length]``, float32 above zero, falling; equal ones keep their order.

    Parameters
    ----------
    scores
        float32, at least `length` of them.
    length
        How many are to be ordered, below 2²⁴.
    work
        What `scratch` made; overwritten.
    order
        uint32; gets the places in `scores`, highest score first.
    """
    # The bits of positive floats rise with their value
    pattern = scores.view(np.uint32)
    lowest, highest = np.uint32(0xFFFFFFFF), np.uint32(0)
    for place in range(length):
        lowest = min(lowest, pattern[place])
        highest = max(highest, pattern[place])
    bits = 1
    while length and bits < 32 and (highest - lowest) >> np.uint32(bits):
        bits += 1
    if not _mostly_ordered(pattern, length, highest, bits, work, order):
        _fully_ordered(pattern, length, highest, bits, work, order)


@numba.njit(nogil=True, cache=True)
def _fully_ordered(  # type: ignore[no-untyped-def]
    pattern, length, highest, bits, work, order
) -> None:
    """Order by all bits, however the scores are distributed."""
    keys, spare, tallies = work
    for place in range(length):
        keys[place] = np.uint64(highest - pattern[place]) << np.uint64(32) | np.uint64(place)
    found = radix_sort(keys, spare, length, bits, tallies)
    for place in range(length):
        order[place] = found[place] & np.uint64(0xFFFFFFFF)


@numba.njit(nogil=True, cache=True)
def _mostly_ordered(  # type: ignore[no-untyped-def]
    pattern, length, highest, bits, work, order
) -> bool:
    """Order by the uppermost bits in two digits, then compare where those are the same.

    An entry is 32 bits wide, upper bits of the score before the place in the cell, so that all
    of a cell stays in the first-level cache. Returns whether few enough had to be compared.
    """
    keys, spare, tallies = work
    low, high = tallies[0], tallies[1]
    entries, others = keys.view(np.uint32)[:length], keys.view(np.uint32)[length : 2 * length]
    targets = spare.view(np.uint32)[:length]
    below = np.uint32(8)
    while length >> below:
        below += np.uint32(1)
    kept = min(bits, COARSE, 32 - below)
    digit = np.uint32((kept + 1) // 2)
    size = 1 << digit
    mask, above = np.uint32(size - 1), below + digit
    drop = np.uint32(bits - kept)
    for place in range(length):
        entries[place] = (highest - pattern[place]) >> drop << below | np.uint32(place)
    low[:size] = 0
    high[:size] = 0
    for place in range(length):
        low[(entries[place] >> below) & mask] += np.uint32(1)
        high[entries[place] >> above] += np.uint32(1)
    _add_up(low, size)
    _add_up(high, size)
    _moved(entries, others, targets, low, below, mask)
    _moved(others, entries, targets, high, above, mask)
    settled = _settled(entries, pattern, below)
    place_mask = np.uint32((1 << below) - 1)
    for place in range(length):
        order[place] = entries[place] & place_mask
    return settled


@numba.njit(nogil=True, cache=True)
def _add_up(tally: np.ndarray, size: int | np.uint32) -> None:
    """Replace counts by the sum of those before."""
    before = np.uint32(0)
    for value in range(size):
        here = tally[value]
        tally[value] = before
        before += here


@numba.njit(nogil=True, cache=True)
def _moved(  # type: ignore[no-untyped-def]
    entries, out, targets, tally, shift, mask
) -> None:
    """Move entries to where their digit belongs, equal ones in order."""
    for place in range(len(entries)):
        value = (entries[place] >> shift) & mask
        target = tally[value]
        targets[place] = target
        tally[value] = target + np.uint32(1)
    for place in range(len(entries)):
        out[targets[place]] = entries[place]


@numba.njit(nogil=True, cache=True)
def _settled(entries: np.ndarray, pattern: np.ndarray, below: np.uint32) -> bool:
    """Insert entries among those with the same upper bits; give up if they are many."""
    mask, moves = np.uint32((1 << below) - 1), 0
    for place in range(1, len(entries)):
        entry = entries[place]
        if (entry ^ entries[place - 1]) >> below:
            continue
        score, at = pattern[entry & mask], place
        while at > 0 and not (entries[at - 1] ^ entry) >> below:
            if pattern[entries[at - 1] & mask] >= score:
                break
            entries[at] = entries[at - 1]
            at -= 1
        entries[at] = entry
        moves += place - at
        if moves > MOVES * len(entries):
            return False
    return True
