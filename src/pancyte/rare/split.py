"""One dealing of the reads: groups found in one part of them and tested in the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import csr_matrix

from pancyte.rare.ground import Ground
from pancyte.rare.hierarchy import grow, tree_of, ward
from pancyte.rare.markers import Candidate, log_p
from pancyte.rare.scan import apart, scan
from pancyte.tasks.thinning import thin

SEARCHED = 0.6
"""Share of the reads in which groups are looked for; the rest tests them."""
KEPT = 30
Views = Mapping[str, Callable[[csr_matrix], np.ndarray]]
"""Embeddings of cells beside the search's own components, made of the counts they are given."""


@dataclass(frozen=True)
class Tested:
    """A candidate, the view it was found in, and its strength in reads it was not found in."""

    candidate: Candidate
    view: str
    strength: float


@dataclass(frozen=True)
class Split:
    """Groups of one dealing.

    Attributes
    ----------
    grounds
        By view, the reads that were searched and those that were held out.
    tested
        The groups found.
    """

    grounds: dict[str, tuple[Ground, Ground]]
    tested: list[Tested]

    @cached_property
    def whole(self) -> dict[str, Ground]:
        """By view, all reads."""
        return {name: searched.together(held) for name, (searched, held) in self.grounds.items()}

    @property
    def strengths(self) -> np.ndarray:
        """Strength of each group in held-out reads."""
        return np.array([one.strength for one in self.tested])


def split(counts: csr_matrix, views: Views, *, fewest: int, most: int, seed: int) -> Split:
    """Deal out the reads, look for groups in the first part, and test them in the second.

    Parameters
    ----------
    counts
        (cells, genes).
    views
        Further embeddings to look in.
    fewest, most
        Cells of a group.
    seed
        Seed of the dealing.
    """
    searched, held = thin(counts, SEARCHED, np.random.default_rng(seed))
    own = Ground(searched, grow(searched, seed=seed))
    grounds = {"expression": (own, Ground(held, own.tree, own.genes))}
    for name, embed in views.items():
        tree = tree_of(ward(embed(searched)))
        first = own.under(tree)
        grounds[name] = (first, grounds["expression"][1].under(tree))
    found = {
        name: scan(first, fewest=fewest, most=most, keep=KEPT)
        for name, (first, _) in grounds.items()
    }
    where = {id(one): name for name, many in found.items() for one in many}
    kept = apart([one for many in found.values() for one in many], KEPT)
    tested = []
    for one in kept:
        _, ground = grounds[where[id(one)]]
        _, labels = ground.others(one.cells)
        strength = -log_p(ground, one.cells, one.panel, labels)
        tested.append(Tested(one, where[id(one)], strength))
    return Split(grounds, tested)
