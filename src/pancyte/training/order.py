"""In which order cells are seen: a pure function of the seed and the epoch."""

from __future__ import annotations

import numpy as np

WINDOW = 64
"""Minibatches' worth of shuffled cells that are sorted by length together."""


def minibatches(lengths: np.ndarray, budget: int, *, seed: int, epoch: int) -> list[np.ndarray]:
    """Shuffle the cells of one epoch and cut them into minibatches of similar length.

    Parameters
    ----------
    lengths
        Tokens of each cell, (cells,). Cells without tokens are left out.
    budget
        Padded tokens in a minibatch, at most (but at least one cell).
    seed, epoch
        The same pair gives the same order, which is what makes a resumed run exact.

    Returns
    -------
    Row numbers of each minibatch; each cell with tokens appears once.
    """
    rng = np.random.default_rng([seed, epoch])
    rows = rng.permutation(np.flatnonzero(lengths > 0))
    if not len(rows):
        return []
    window = max(1, int(WINDOW * budget / (lengths[rows].mean() + 1)))
    cut: list[np.ndarray] = []
    for start in range(0, len(rows), window):
        block = rows[start : start + window]
        block = block[np.argsort(-lengths[block], kind="stable")]
        while len(block):
            fits = max(1, int(budget // (lengths[block[0]] + 1)))
            cut.append(block[:fits])
            block = block[fits:]
    return [cut[i] for i in rng.permutation(len(cut))]
