"""Genes that a group has and no other group of its size, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import nbinom

from pancyte.rare.ground import Ground

FOLD = 2.0
"""Markers of a group are above this many times the level of every other group."""
PANEL, FEWEST = 20, 3
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
    None if the group has too few markers, or does not stay within its bounds.
    """
    found = None
    for _ in range(ROUNDS):
        rates, labels = ground.others(cells)
        panel = panel_of(ground, cells, rates)
        if len(panel) < FEWEST:
            return None
        found = Candidate(cells, panel, -log_p(ground, cells, panel, labels))
        again = np.flatnonzero(evidence(ground, cells, panel, rates) > 0)
        if not fewest <= len(again) <= most or np.array_equal(again, cells):
            break
        cells = again
    return found


def panel_of(ground: Ground, cells: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """Choose the genes that are furthest above twice their level in any rival.

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
    ground: Ground, cells: np.ndarray, panel: np.ndarray, rates: np.ndarray
) -> np.ndarray:
    """For each cell, log odds that it is of the group rather than of whichever rival is nearest.

    Reads of the markers are taken as Poisson at the group's rates, or at the highest rate of any
    rival; before, a cell is as likely to be of the group as the group is large.

    Returns
    -------
    (cells,).
    """
    own, next_ = ground.rate(cells)[panel], rates[:, panel].max(axis=0)
    gain = np.log(own / next_)
    size, whole = len(cells), len(ground.depth)
    odds = np.log(size / max(whole - size, 1))
    return ground.counts[:, panel] @ gain - ground.depth * (own - next_).sum() + odds


def log_p(ground: Ground, cells: np.ndarray, panel: np.ndarray, labels: np.ndarray) -> float:
    """log10 of the chance of so many reads of the markers, at twice the level of any rival.

    The largest over the rivals, which makes it a p-value for *some rival has at least half of the
    group's level* (Berger 1982, Technometrics 24:295). Reads are negative binomial, as
    overdispersed as between the cells of the rival. The cell with the highest share of marker reads
    is left out, so that no single cell makes a group.
    """
    reads = ground.counts[:, panel].sum(axis=1, dtype=np.float64)
    own = np.delete(cells, np.argmax(reads[cells] / np.maximum(ground.depth[cells], 1)))
    rivals = int(labels.max(initial=-1)) + 1
    rows = labels >= 0
    groups, depth, seen = labels[rows], ground.depth[rows], reads[rows]
    rate = (np.bincount(groups, seen, rivals) + 1) / np.maximum(
        np.bincount(groups, depth, rivals), 1
    )
    mean = depth * rate[groups]
    beyond = np.bincount(groups, (seen - mean) ** 2 - mean, rivals)
    phi = np.maximum(LEAST_DISPERSION, beyond / np.bincount(groups, mean**2, rivals))
    usual = FOLD * ground.depth[own].sum() * rate
    size = ground.depth[own].sum() ** 2 / (phi * (ground.depth[own] ** 2).sum())
    tails = nbinom.logsf(reads[own].sum() - 1, size, size / (size + usual))
    return float(np.clip(tails.max(initial=-np.inf), -690, 0) / np.log(10))


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Which part of the smaller group is in the other; rows are sorted."""
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / max(1, min(len(one), len(other)))
