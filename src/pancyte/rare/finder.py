"""Find rare groups: search and test in several dealings of the reads, and see which agree."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix
from scipy.special import expit

from pancyte.errors import InputError, UsageError
from pancyte.rare.calibrate import shuffled
from pancyte.rare.group import Group, agreed
from pancyte.rare.split import Split, Views, split
from pancyte.rare.strangeness import ranked, strangeness

if TYPE_CHECKING:
    from pancyte.shapes import Cells

SPLITS = 3
LEAST_CELLS, LEAST_GENES, FEWEST_EXPRESSING = 100, 50, 3


@dataclass(frozen=True)
class GroupLimits:
    """What counts as a rare group.

    Attributes
    ----------
    fewest
        Cells of the smallest group.
    most
        Largest share of all cells.
    alpha
        False discoveries among the groups that are called.
    splits
        How often the reads are dealt out anew.
    """

    fewest: int = 3
    most: float = 0.1
    alpha: float = 0.05
    splits: int = SPLITS

    def __post_init__(self) -> None:
        if self.fewest < 3:
            raise UsageError(f"A group of {self.fewest} cells was asked for.", fix="Three or more.")
        if not 0 < self.most <= 0.25:
            raise UsageError(
                f"A rare group may have a share of {self.most} of the cells.",
                fix="Give at most .25.",
            )
        if not 0 < self.alpha < 1:
            raise UsageError(f"The error rate is {self.alpha}.", fix="Give one such as .05.")
        if self.splits < 1:
            raise UsageError(f"There are {self.splits} splits.", fix="Give 1 or more.")


@dataclass(frozen=True)
class Found:
    """Rare groups, and how rare each cell looks.

    Attributes
    ----------
    groups
        All groups, those that stand out most first, called or not.
    scores
        The larger, the rarer; (cells,). Cells that no group claims have less than 1.
    members
        Place of each cell's group among `groups`, -1 for none or none that is called; (cells,).
    p_values
        Of each cell to be like the cells outside its group, 1 without a group; (cells,).
    null
        Strengths of groups in shuffled cells.
    """

    groups: list[Group]
    scores: np.ndarray
    members: np.ndarray
    p_values: np.ndarray
    null: np.ndarray = field(repr=False)


def find_rare(
    cells: Cells, *, limits: GroupLimits | None = None, views: Views | None = None, seed: int = 0
) -> Found:
    """Look for small groups with genes of their own, and say how sure each is.

    Parameters
    ----------
    cells
        Raw counts.
    limits
        What counts as a rare group.
    views
        Further embeddings to look in, by name: functions of counts.
    seed
        Seed of everything random.

    Raises
    ------
    InputError
        If there are fewer than 100 cells, or hardly any genes.
    """
    limits = limits or GroupLimits()
    genes = measured(cells)
    counts = cells.counts[:, genes]
    most = max(limits.fewest, int(limits.most * len(cells)))
    seeds = np.random.default_rng(seed).integers(0, 2**31, limits.splits + 1).tolist()
    splits = [
        split(counts, views or {}, fewest=limits.fewest, most=most, seed=one) for one in seeds[:-1]
    ]
    null = _null(counts, splits[0], fewest=limits.fewest, most=most, seed=seeds[-1])
    groups = [
        replace(group, markers=genes[group.markers])
        for group in agreed(splits, null, fewest=limits.fewest, most=most)
    ]
    gap, residual = strangeness(counts, seed=seed)
    scores = ranked(gap, residual)
    members, chances = np.full(len(cells), -1), np.ones(len(cells))
    for place, group in enumerate(groups):
        scores = np.maximum(scores, (1 + group.strength) * expit(group.evidence))
        if group.q <= limits.alpha:
            free = group.cells[members[group.cells] < 0]
            members[free], chances[free] = place, group.held_out[free]
    return Found(groups, scores, members, chances, null)


def measured(cells: Cells) -> np.ndarray:
    """Columns of the genes that at least three cells express, if the cells will do.

    Raises
    ------
    InputError
        If there are fewer than 100 cells with reads, or fewer than 50 such genes.
    """
    reading = int((cells.counts.getnnz(axis=1) > 0).sum())
    if reading < LEAST_CELLS:
        raise InputError(
            f"{cells.name} has {reading} cells with reads; rare ones cannot be told among so few.",
            fix=f"Give at least {LEAST_CELLS}.",
        )
    genes = np.flatnonzero(cells.counts.getnnz(axis=0) >= FEWEST_EXPRESSING)
    if len(genes) < LEAST_GENES:
        raise InputError(
            f"{cells.name} has {len(genes)} genes that at least three cells express.",
            fix="Give raw counts of more genes.",
        )
    return genes


def _null(counts: csr_matrix, first: Split, *, fewest: int, most: int, seed: int) -> np.ndarray:
    tree = first.grounds["expression"][0].tree
    blocks = np.zeros(counts.shape[0], dtype=int)
    for number, group in enumerate(tree.cut(2 * most, aside=False)):
        blocks[tree.cells(int(group))] = number
    null = shuffled(counts, blocks, np.random.default_rng(seed))
    return split(null, {}, fewest=fewest, most=most, seed=seed).strengths
