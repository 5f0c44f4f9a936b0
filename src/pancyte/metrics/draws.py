"""Random numbers that depend on a key alone, the same on every machine and in JAX.

Threefry-2x32 with 20 rounds (Salmon et al. 2011, SC '11, doi:10.1145/2063384.2063405), numbered and
turned into permutations and samples as JAX does it. scib-metrics starts its k-means by these, so
the same clusters are found from the same cells.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np

Key: TypeAlias = tuple[int, int]

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = 0x1BD11BDA


def _threefry(key: Key, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Encrypt the numbers 0 … `count` - 1, as 64-bit counters, under `key`."""
    first, second = np.uint32(key[0]), np.uint32(key[1])
    schedule = (first, second, first ^ second ^ np.uint32(PARITY))
    left = np.zeros(count, np.uint32) + schedule[0]
    right = np.arange(count, dtype=np.uint32) + schedule[1]
    for group in range(5):
        for turn in ROTATIONS[group % 2]:
            left = left + right
            right = (right << np.uint32(turn)) | (right >> np.uint32(32 - turn))
            right = right ^ left
        left = left + schedule[(group + 1) % 3]
        right = right + schedule[(group + 2) % 3] + np.uint32(group + 1)
    return left, right


def split(key: Key, count: int = 2) -> list[Key]:
    """Make `count` new keys of one."""
    left, right = _threefry(key, count)
    return [(int(a), int(b)) for a, b in zip(left, right, strict=True)]


def bits(key: Key, count: int) -> np.ndarray:
    """Draw uint32 numbers, (count,)."""
    left, right = _threefry(key, count)
    return left ^ right


def permutation(key: Key, count: int) -> np.ndarray:
    """Put 0 … `count` - 1 in random order by sorting random numbers, more than once if many."""
    order = np.arange(count)
    rounds = math.ceil(3 * math.log(max(1, count)) / math.log(np.iinfo(np.uint32).max))
    for _ in range(rounds):
        key, drawn = split(key)
        order = order[np.argsort(bits(drawn, count), kind="stable")]
    return order


def sample(key: Key, weights: np.ndarray, count: int) -> np.ndarray:
    """Draw `count` different rows with chances ∝ `weights`: the largest of log weight + Gumbel."""
    mantissa = (bits(key, len(weights)) >> np.uint32(9)) | np.uint32(0x3F800000)
    uniform = np.maximum(mantissa.view(np.float32) - np.float32(1), np.finfo(np.float32).tiny)
    with np.errstate(divide="ignore"):
        score = -np.log(-np.log(uniform)) + np.log(weights.astype(np.float32))
    return np.argsort(-score, kind="stable")[:count]
