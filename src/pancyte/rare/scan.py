"""Which groups of cells stand out most, in the reads they are found in."""

from __future__ import annotations

import numpy as np

from pancyte.rare.ground import Ground
from pancyte.rare.markers import FOLD, PANEL, Candidate, overlap, refined
from pancyte.rare.modules import module_groups

CLOSER = 40
"""How many groups of the tree are looked at more closely."""
BLOCK = 256
SAME = 0.5


def scan(ground: Ground, *, fewest: int, most: int, keep: int) -> list[Candidate]:
    """List the groups whose markers stand out most, no two of them much the same.

    Parameters
    ----------
    ground
        The cells.
    fewest, most
        Cells of a group.
    keep
        How many to list at most.
    """
    starts = [ground.tree.cells(group) for group in outstanding(ground, fewest=fewest, most=most)]
    starts += module_groups(ground, fewest=fewest, most=most)
    found = [refined(ground, cells, fewest=fewest, most=most) for cells in starts]
    return apart([one for one in found if one is not None and one.strength > 0], keep)


def apart(found: list[Candidate], keep: int) -> list[Candidate]:
    """Keep the strongest for their size; of two that share half of the smaller one, the first."""
    chosen: list[Candidate] = []
    for one in sorted(found, key=lambda one: -one.strength / np.sqrt(len(one.cells))):
        if len(chosen) < keep and all(overlap(one.cells, other.cells) < SAME for other in chosen):
            chosen.append(one)
    return chosen


def outstanding(ground: Ground, *, fewest: int, most: int) -> np.ndarray:
    """Groups of the tree with the largest excess of marker reads over any rival."""
    tree = ground.tree
    sizes = tree.sizes
    groups = np.flatnonzero((sizes >= fewest) & (sizes <= most))
    reads = np.zeros((len(tree.order) + 1, ground.counts.shape[1]), dtype=np.int32)
    np.cumsum(ground.counts[tree.order], axis=0, out=reads[1:], dtype=np.int32)
    depths = np.concatenate([[0.0], np.cumsum(ground.depth[tree.order])])
    excess = np.zeros(len(groups))
    exponents = np.ceil(np.log2(sizes[groups]))
    for exponent in np.unique(exponents):
        of_size = np.flatnonzero(exponents == exponent)
        for rows in np.array_split(of_size, -(-len(of_size) // BLOCK)):
            first, last = tree.starts[groups[rows]], tree.stops[groups[rows]]
            own = (reads[last] - reads[first]).astype(np.float64)
            depth = depths[last] - depths[first]
            highest = _highest(ground, int(2**exponent), groups[rows], own, depth)
            usual = FOLD * depth[:, None] * highest
            marked = np.maximum(0, (own - usual) / np.sqrt(usual + 1))
            top = min(PANEL, marked.shape[1])
            excess[rows] = -np.partition(-marked, top - 1, axis=1)[:, :top].sum(axis=1)
    best = np.argsort(-excess, kind="stable")[:CLOSER]
    return groups[best[excess[best] > 0]]


def _highest(
    ground: Ground, cells: int, groups: np.ndarray, own: np.ndarray, depth: np.ndarray
) -> np.ndarray:
    """Rate of each gene in the rival that has most of it, for many groups; (groups, genes).

    Rivals are no smaller than a group, so it lies in one of them or is one.
    """
    level, tree = ground.level_of(cells), ground.tree
    one = ground.depth.mean()
    rates = (level.reads + ground.prior * one) / (level.depths + one)[:, None]
    top = rates.argmax(axis=0)
    columns = np.arange(rates.shape[1])
    first = rates[top, columns]
    rates[top, columns] = 0
    second = rates.max(axis=0)
    around = level.labels[tree.order[tree.starts[groups]]]
    highest = np.where(top == around[:, None], second, first)
    whole = tree.sizes[level.groups][around]
    left = (around >= 0) & (2 * tree.sizes[groups] <= whole)
    rest = (level.reads[around[left]] - own[left] + ground.prior * one) / (
        level.depths[around[left]] - depth[left] + one
    )[:, None]
    highest[left] = np.maximum(highest[left], rest)
    return highest
