"""Genes that a group has and no other group of its size, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import nbinom

from pancyte.rare.ground import Ground

FOLD = 1.5
"""Markers of a group are above this many times the level of every other group."""
PANEL, FEWEST = 20, 4
LEAST_DISPERSION = 0.1
ROUNDS = 2


@dataclass(frozen=True)
class Candidate:
    """A group that stands out in the reads it was found in.

    Attributes
    ----------
    cells
        Rows, sorted.
    panel
        Its markers, the strongest first; columns of the ground.
    strength
        Minus the log10 of the p-value in the very reads it was found in, so far too good.
    """

    cells: np.ndarray
    panel: np.ndarray
    strength: float


def refined(ground: Ground, cells: np.ndarray, *, fewest: int, most: int) -> Candidate | None:
    """Choose markers for a group, take in the cells that have them, and choose again.

    Returns
    -------
    None if the group has too few markers, or if too few or too many cells have them.
    """
    found = None
    for _ in range(ROUNDS):
        rates, labels = ground.others(cells)
        panel = panel_of(ground, cells, rates)
        if len(panel) < FEWEST:
            return None
        found = Candidate(cells, panel, -log_p(ground, cells, panel, labels))
        odds = evidence(ground, cells, panel, rates[:, panel].max(axis=0))
        again = np.flatnonzero(odds > 0)
        if not fewest <= len(again) <= most:
            return None
        if np.array_equal(again, cells):
            break
        cells = again
    return found


def panel_of(ground: Ground, cells: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """Choose the genes that are furthest above 1.5 times their level in any rival.

    At least a fifth of the cells, and two, must have a read of the gene.

    Returns
    -------
    At most 20 columns, the strongest first.
    """
    if not len(rates):
        return np.empty(0, dtype=int)
    inside = ground.counts[cells]
    reads = inside.sum(axis=0, dtype=np.float64)
    usual = FOLD * ground.depth[cells].sum() * rates.max(axis=0)
    excess = (reads - usual) / np.sqrt(usual + 1)
    excess[(inside > 0).sum(axis=0) < max(2, len(cells) / 5)] = 0
    panel = np.argsort(-excess, kind="stable")[:PANEL]
    return panel[excess[panel] > 0]


def evidence(
    ground: Ground, cells: np.ndarray, panel: np.ndarray, highest: np.ndarray
) -> np.ndarray:
    """For each cell, log odds that it is of a group rather than of whichever rival is nearest.

    Reads of the markers are taken as Poisson at the group's rates, or at the highest rate of any
    rival; before, a cell is as likely to be of the group as the group is large. The rates that a
    member is held against are those of the other members.

    Parameters
    ----------
    ground
        The reads.
    cells
        The group.
    panel
        Its markers.
    highest
        Their rates in the rival that has most of each.

    Returns
    -------
    (cells,).
    """
    odds = np.log(len(cells) / max(len(ground.depth) - len(cells), 1))
    marked, depth = ground.counts[:, panel], ground.depth
    own = np.maximum(ground.rate(cells)[panel], highest)
    answer = marked @ np.log(own / highest) - depth * (own - highest).sum() + odds
    one = depth.mean()
    reads = marked[cells].sum(axis=0, dtype=np.float64) - marked[cells] + ground.prior[panel] * one
    others = reads / (depth[cells].sum() - depth[cells] + one)[:, None]
    own = np.maximum(others, highest)
    gain = (marked[cells] * np.log(own / highest)).sum(axis=1)
    answer[cells] = gain - depth[cells] * (own - highest).sum(axis=1) + odds
    return answer


def log_p(ground: Ground, cells: np.ndarray, panel: np.ndarray, labels: np.ndarray) -> float:
    """log10 of the chance of so many reads of the markers at 1.5 times the level of any rival.

    The largest over the rivals, which makes it a p-value for *some rival has at least two thirds of
    the group's level* (Berger 1982, Technometrics 24:295). Reads are negative binomial, as
    overdispersed as between the cells of the rival and, as far as those do not tell, of all. The
    cell with the highest share of marker reads and the marker with most of them are left out, so
    that no single cell and no single gene makes a group.
    """
    marked = ground.counts[:, panel]
    loudest = np.argmax(marked[cells].sum(axis=0))
    reads = marked.sum(axis=1, dtype=np.float64) - marked[:, loudest]
    own = np.delete(cells, np.argmax(reads[cells] / np.maximum(ground.depth[cells], 1)))
    rivals = int(labels.max(initial=-1)) + 1
    rows = labels >= 0
    groups, depth, seen = labels[rows], ground.depth[rows], reads[rows]
    rate = (np.bincount(groups, seen, rivals) + 1) / np.maximum(
        np.bincount(groups, depth, rivals), 1
    )
    mean = depth * rate[groups]
    beyond = np.bincount(groups, (seen - mean) ** 2 - mean, rivals)
    squares = np.bincount(groups, mean**2, rivals)
    # a rival with a read or two says little of how they vary; all rivals together say the rest
    phi = (beyond + beyond.sum() / squares.sum()) / (squares + 1)
    phi = np.maximum(LEAST_DISPERSION, phi)
    usual = FOLD * ground.depth[own].sum() * rate
    size = ground.depth[own].sum() ** 2 / (phi * (ground.depth[own] ** 2).sum())
    tails = nbinom.logsf(reads[own].sum() - 1, size, size / (size + usual))
    return float(np.clip(tails.max(initial=-np.inf), -690, 0) / np.log(10))


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Which part of the smaller group is in the other; rows are sorted."""
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / max(1, min(len(one), len(other)))
