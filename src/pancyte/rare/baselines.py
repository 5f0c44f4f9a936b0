"""Simple ways to find rare cells, and the search of this folder in the form of a method."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pancyte.metrics.neighbours import leiden
from pancyte.rare.finder import GroupLimits, find_rare
from pancyte.tasks.baselines import components
from pancyte.tasks.task import RareCells

if TYPE_CHECKING:
    from pancyte.shapes import Cells

TREES, NEIGHBOURS = 100, 20


class SpecificGroups:
    """Groups with genes of their own, found and tested in different reads (`find_rare`)."""

    name = "rare-groups"

    def __init__(self, limits: GroupLimits | None = None) -> None:
        self.limits = limits or GroupLimits()

    def find_rare(self, cells: Cells, *, seed: int) -> RareCells:
        """Call the groups with few enough false discoveries."""
        found = find_rare(cells, limits=self.limits, seed=seed)
        called = [g.cells for g in found.groups if g.q <= self.limits.alpha]
        return RareCells(found.scores, tuple(called))


class LeidenSmallest:
    """The smallest of the usual clusters: what one does without a method.

    Leiden at resolution 1 on 50 principal components of 2,000 variable genes.
    """

    name = "leiden-smallest"

    def find_rare(self, cells: Cells, *, seed: int) -> RareCells:
        """Call the smallest cluster; a cell of a smaller cluster is rarer."""
        (Z,) = components(cells, seed=seed)
        clusters = leiden(Z)
        sizes = np.bincount(clusters)
        smallest = np.flatnonzero(clusters == sizes.argmin())
        return RareCells(-sizes[clusters] / len(cells), (smallest,))


class Isolation:
    """Isolation forest on 50 principal components (Liu, Ting & Zhou 2008, ICDM)."""

    name = "isolation-forest"

    def find_rare(self, cells: Cells, *, seed: int) -> RareCells:
        """Call what the forest's own rule calls an outlier."""
        from sklearn.ensemble import IsolationForest

        (Z,) = components(cells, seed=seed)
        forest = IsolationForest(n_estimators=TREES, random_state=seed).fit(Z)
        return RareCells(-forest.score_samples(Z), (np.flatnonzero(forest.predict(Z) < 0),))


class LocalOutlier:
    """Local outlier factor on 50 principal components (Breunig et al. 2000, SIGMOD)."""

    name = "lof"

    def find_rare(self, cells: Cells, *, seed: int) -> RareCells:
        """Call what the factor's own rule calls an outlier."""
        from sklearn.neighbors import LocalOutlierFactor

        (Z,) = components(cells, seed=seed)
        factor = LocalOutlierFactor(min(NEIGHBOURS, len(cells) - 1))
        called = np.flatnonzero(factor.fit_predict(Z) < 0)
        return RareCells(-factor.negative_outlier_factor_, (called,))
