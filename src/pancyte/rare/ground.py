"""What a group is compared with: every other group of its size or more."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from pancyte.rare.hierarchy import Hierarchy
from pancyte.rare.residuals import variances

GENES = 2000
COMPARED = 20
"""Groups compared with have at least this many cells, and at least as many as the group itself."""


@dataclass(frozen=True)
class Level:
    """Groups of at least so many cells, and what was read in them.

    Attributes
    ----------
    groups
        Their numbers in the tree, (groups,).
    labels
        The place among them of each cell's group, -1 for none; (cells,).
    reads
        Reads of each gene, (groups, genes).
    depths
        Reads of all genes, (groups,).
    """

    groups: np.ndarray
    labels: np.ndarray
    reads: np.ndarray
    depths: np.ndarray


class Ground:
    """Cells, their tree, and the levels of genes in its groups.

    A level is log2(1 + reads): one read is one, and a thousand reads of a single gene, as of
    haemoglobin from a burst red cell, do not outweigh all else. Rates are levels of a gene for
    each level of all genes together.

    Parameters
    ----------
    counts
        (cells, genes).
    tree
        Of the same cells.
    genes
        Columns to look for markers in; the most variable 2,000 if not given.
    """

    def __init__(
        self, counts: csr_matrix, tree: Hierarchy, genes: np.ndarray | None = None
    ) -> None:
        if genes is None:
            genes = np.sort(np.argsort(-variances(counts), kind="stable")[:GENES])
        self.genes, self.tree = genes, tree
        levels = csr_matrix((np.log2(1 + counts.data), counts.indices, counts.indptr), counts.shape)
        # dense: a few genes of a few cells are read thousands of times
        self.counts = levels[:, genes].toarray()
        self.depth = np.asarray(levels.sum(axis=1), dtype=np.float64).ravel()
        reads = self.counts.sum(axis=0, dtype=np.float64)
        # half a read for a gene without any, as in held-out reads
        self.prior = np.maximum(reads, 0.5) / max(self.depth.sum(), 1.0)
        self._levels: dict[int, Level] = {}

    def under(self, tree: Hierarchy) -> Ground:
        """Return the same cells and genes in another tree."""
        other = copy(self)
        other.tree, other._levels = tree, {}
        return other

    def together(self, other: Ground) -> Ground:
        """Return the reads of both parts of a dealing, in this one's tree."""
        whole = copy(self)
        whole.counts = np.log2(2**self.counts + 2**other.counts - 1)
        whole.depth = self.depth + other.depth
        reads = whole.counts.sum(axis=0, dtype=np.float64)
        whole.prior, whole._levels = np.maximum(reads, 0.5) / max(whole.depth.sum(), 1.0), {}
        return whole

    def level_of(self, cells: int) -> Level:
        """Give the groups that one of so many cells is compared with."""
        least = max(COMPARED, 2 ** int(np.ceil(np.log2(max(cells, 1)))))
        if least not in self._levels:
            self._levels[least] = self._make(self.tree.cut(least))
        return self._levels[least]

    def others(self, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rates of the genes in every group compared with, once the cells are taken out of it.

        A group that loses more than half its cells is no rival: it is the candidate.

        Returns
        -------
        rates, labels
            (rivals, genes); and the rival of each cell, -1 for none, (cells,).
        """
        level = self.level_of(len(cells))
        inside = level.labels[cells]
        lost = np.bincount(inside[inside >= 0], minlength=len(level.groups))
        kept = 2 * lost <= self.tree.sizes[level.groups]
        reads, depths = level.reads.copy(), level.depths.copy()
        for group in np.flatnonzero(lost):
            rows = cells[inside == group]
            reads[group] -= self.counts[rows].sum(axis=0)
            depths[group] -= self.depth[rows].sum()
        number = np.append(np.where(kept, np.cumsum(kept) - 1, -1), -1)
        labels = number[level.labels]
        labels[cells] = -1
        return self._rates(reads[kept], depths[kept]), labels

    def rate(self, cells: np.ndarray) -> np.ndarray:
        """Rate of each gene in a group, (genes,)."""
        reads = self.counts[cells].sum(axis=0, dtype=np.float64)
        return self._rates(reads[None], self.depth[cells].sum(keepdims=True))[0]

    def _rates(self, reads: np.ndarray, depths: np.ndarray) -> np.ndarray:
        # as if every group had one more, average cell, so that none has a rate of 0
        one = self.depth.mean()
        return (reads + self.prior * one) / (depths + one)[:, None]

    def _make(self, groups: np.ndarray) -> Level:
        labels = np.full(len(self.depth), -1)
        for place, group in enumerate(groups):
            labels[self.tree.cells(group)] = place
        rows = np.flatnonzero(labels >= 0)
        ones = np.ones(len(rows), dtype=np.float64)
        member = csr_matrix((ones, (labels[rows], rows)), (len(groups), len(labels)))
        return Level(groups, labels, member @ self.counts, member @ self.depth)
