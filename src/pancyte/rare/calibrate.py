"""How strongly groups stand out where there is none: the same search on shuffled cells."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

WINDOW = 50
"""Cells of like depth among which a gene's counts are shuffled."""
PERMUTATIONS = 256
"""Ways to shuffle a window; with a turn by up to 50 places, hardly two genes are shuffled alike."""


def shuffled(counts: csr_matrix, blocks: np.ndarray, rng: np.random.Generator) -> csr_matrix:
    """Shuffle every gene by itself among cells of one block and of about the same depth.

    What genes do together within a block is gone; how much they vary, how bursts of a gene make
    single cells differ, and the depths, are as before. Blocks must be larger than a group that
    is looked for, so that such a group is dissolved in its surroundings.

    Parameters
    ----------
    counts
        (cells, genes).
    blocks
        Block of each cell, (cells,).
    rng
        Source of chance.

    Returns
    -------
    Counts of the same shape.
    """
    depth = np.asarray(counts.sum(axis=1)).ravel()
    order = np.lexsort((depth, blocks))
    window, place, width = _windows(blocks[order])
    first = np.concatenate([[0], np.cumsum(width)[:-1]])
    # rows of `to`: permutations within every window, of which each gene takes one in each window
    to = np.empty((PERMUTATIONS, len(order)), dtype=np.int64)
    for start, size in zip(first, width, strict=True):
        each = np.tile(np.arange(start, start + size), (PERMUTATIONS, 1))
        to[:, start : start + size] = rng.permuted(each, axis=1)
    where = np.empty(len(order), dtype=int)
    where[order] = np.arange(len(order))
    entries = counts.tocoo()
    at = where[entries.row]
    chosen = rng.integers(0, PERMUTATIONS, (counts.shape[1], len(width)))
    turn = rng.integers(0, WINDOW, counts.shape[1])
    turned = first[window[at]] + (place[at] + turn[entries.col]) % width[window[at]]
    rows = order[to[chosen[entries.col, window[at]], turned]]
    return csr_matrix((entries.data, (rows, entries.col)), counts.shape)


def _windows(blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Window of each cell, its place there, and the width of every window; cells in block order."""
    new = np.append(True, blocks[1:] != blocks[:-1])
    starts = np.flatnonzero(new)
    inside = np.arange(len(blocks)) - np.repeat(starts, np.diff(np.append(starts, len(blocks))))
    new |= inside % WINDOW == 0
    window = np.cumsum(new) - 1
    return window, inside % WINDOW, np.bincount(window)


def calibrated(strengths: np.ndarray, null: np.ndarray) -> np.ndarray:
    """P-values of groups, given how strong groups of shuffled cells are.

    Parameters
    ----------
    strengths
        Minus the log10 of p-values that would be right if cells differed by chance alone.
    null
        The same of groups found in shuffled cells.

    Returns
    -------
    P-values. The tail of the null's is taken as exponential, with a mean no smaller than theory
    has it and no smaller than that of the null's upper half (an empirical null; Efron 2004, J. Am.
    Stat. Assoc. 99:96).
    """
    if len(null) < 2:
        return np.minimum(1.0, 10.0 ** -np.maximum(strengths, 0))
    # half of all p-values are above a half by theory
    middle = max(float(np.median(null)), float(np.log10(2)))
    excess = np.maximum(null - middle, 0).sum() / max(1, (null >= middle).sum())
    scale = max(1.0, excess * np.log(10))
    tail = 0.5 * 10 ** (-(strengths - middle) / scale)
    return np.clip(np.where(strengths > middle, tail, 1.0), 1e-300, 1.0)


def adjusted(p: np.ndarray) -> np.ndarray:
    """Benjamini & Hochberg's (1995) adjusted p-values: the least rate at which each is kept."""
    order = np.argsort(p, kind="stable")
    ranks = np.arange(1, len(p) + 1)
    q = np.minimum.accumulate((p[order] * len(p) / ranks)[::-1])[::-1]
    answer = np.empty(len(p))
    answer[order] = np.minimum(q, 1.0)
    return answer
