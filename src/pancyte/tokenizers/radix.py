"""Radix sort of one cell's keys, compiled: stable and linear in the number of genes.

A key is 64 bits wide: what to sort by in the upper 32, the gene's place in its cell in the lower
32. Least significant digits first, as in Knuth, The Art of Computer Programming 3, 5.2.5.
"""

from __future__ import annotations

import numba
import numpy as np

# 2048 counters of 4 bytes for each of three digits stay in the first-level cache
DIGIT = 11


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
        uint64; both are overwritten.
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
        before = np.uint32(0)
        for value in range(size):
            here = tally[value]
            tally[value] = before
            before += here
        for place in range(length):
            key = keys[place]
            value = (key >> shift) & mask
            target = tally[value]
            tally[value] = target + np.uint32(1)
            spare[target] = key
        keys, spare = spare, keys
    return keys


@numba.njit(nogil=True, cache=True)
def ranking(
    scores: np.ndarray, length: int, keys: np.ndarray, spare: np.ndarray, tallies: np.ndarray
) -> np.ndarray:
    """Order ``scores[:length]``, float32 above zero, falling; equal ones keep their order.

    Returns
    -------
    Sorted keys, whose lower 32 bits are places in `scores`.
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
    for place in range(length):
        keys[place] = np.uint64(highest - pattern[place]) << np.uint64(32) | np.uint64(place)
    return radix_sort(keys, spare, length, bits, tallies)
