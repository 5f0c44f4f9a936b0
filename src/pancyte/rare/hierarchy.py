"""Cells in a tree of ever smaller groups, each split by the genes that vary inside it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from pancyte.metrics.neighbours import leiden
from pancyte.rare.residuals import components

NEIGHBOURS = 15
GENES, LOCAL_GENES = 1000, 600
RANK, LOCAL_RANK = 25, 12
LEAST_LOCAL = 50


@dataclass(frozen=True)
class Hierarchy:
    """A binary tree of cells.

    Attributes
    ----------
    order
        The cells, so that every group is a stretch of them; (cells,).
    starts, stops
        Stretch of each group; the leaves come first, the root last; (2 · cells - 1,).
    children
        The two parts of each group beyond the leaves, (cells - 1, 2).
    """

    order: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    children: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """Number of cells of each group."""
        return self.stops - self.starts

    def cells(self, group: int) -> np.ndarray:
        """Rows of the cells of a group, sorted."""
        return np.sort(self.order[self.starts[group] : self.stops[group]])

    def cut(self, least: int, *, aside: bool = True) -> np.ndarray:
        """Split from the root down as long as both parts keep `least` cells.

        Parameters
        ----------
        least
            Cells of a part.
        aside
            Whether a part of less than a quarter of that may be left aside, so that a few odd cells
            do not end the splitting.

        Returns
        -------
        Groups that do not overlap, each of at least `least` cells; together they are all cells
        unless some are left aside.
        """
        leaves = len(self.order)
        sizes, found, left = self.sizes, [], [2 * leaves - 2]
        while left:
            group = left.pop()
            if group < leaves:
                found.append(group)
                continue
            small, large = sorted(self.children[group - leaves], key=lambda part: sizes[part])
            if sizes[small] >= least:
                left += [small, large]
            elif aside and sizes[small] * 4 < least <= sizes[large]:
                left.append(large)
            else:
                found.append(group)
        return np.sort(np.array(found))


def grow(counts: csr_matrix, *, seed: int) -> Hierarchy:
    """Cluster cells, and split each cluster by components of the genes that vary in it alone.

    What sets a few cells apart from their own kind need not vary among all cells (Xu et al. 2024,
    scCAD, Nat. Commun. 15:7561).
    """
    Z, _ = components(counts, genes=GENES, rank=RANK, seed=seed)
    clusters = leiden(Z)
    names = np.unique(clusters)
    centres = np.vstack([Z[clusters == name].mean(axis=0) for name in names])
    inside = []
    for name in names:
        rows = np.flatnonzero(clusters == name)
        if len(rows) > LEAST_LOCAL:
            local, _ = components(counts[rows], genes=LOCAL_GENES, rank=LOCAL_RANK, seed=seed)
        else:
            local = Z[rows]
        inside.append((rows, ward(local)))
    return tree_of(joined(inside, ward(centres)))


def joined(inside: list[tuple[np.ndarray, np.ndarray]], above: np.ndarray) -> np.ndarray:
    """Put trees of clusters under a tree of their centres.

    Parameters
    ----------
    inside
        For each cluster its cells, and the joins of its own tree.
    above
        The joins of the clusters.

    Returns
    -------
    The joins of one tree of all cells.
    """
    leaves = sum(len(rows) for rows, _ in inside)
    joins: list[list[int]] = []
    roots: list[int] = []
    for rows, children in inside:
        first = leaves + len(joins)
        number = np.concatenate([rows, first + np.arange(len(children))])
        joins += number[children].tolist()
        roots.append(int(number[-1]))
    first = leaves + len(joins)
    number = np.concatenate([roots, first + np.arange(len(above))]).astype(int)
    return np.array([*joins, *number[above].tolist()], dtype=int).reshape(-1, 2)


def ward(Z: np.ndarray) -> np.ndarray:
    """Join the nearest groups by Ward's criterion, along each cell's nearest neighbours.

    Returns
    -------
    The two parts of each join, (cells - 1, 2), as scikit-learn numbers them.
    """
    from sklearn.cluster import ward_tree
    from sklearn.neighbors import kneighbors_graph

    if len(Z) < 3:
        return np.array([[0, 1]][: len(Z) - 1], dtype=int).reshape(-1, 2)
    near = kneighbors_graph(Z, min(NEIGHBOURS, len(Z) - 1), include_self=False)
    with warnings.catch_warnings():
        # a graph in several pieces is what rare cells make; ward_tree joins the pieces
        warnings.simplefilter("ignore", UserWarning)
        children, *_ = ward_tree(Z, connectivity=near + near.T)
    return np.asarray(children)


def tree_of(children: np.ndarray) -> Hierarchy:
    """Number the stretches of a tree given by its joins."""
    leaves = len(children) + 1
    sizes = np.ones(2 * leaves - 1, dtype=int)
    for row, (left, right) in enumerate(children):
        sizes[leaves + row] = sizes[left] + sizes[right]
    starts = np.zeros(2 * leaves - 1, dtype=int)
    for row in range(len(children) - 1, -1, -1):
        left, right = children[row]
        starts[left] = starts[leaves + row]
        starts[right] = starts[leaves + row] + sizes[left]
    order = np.empty(leaves, dtype=int)
    order[starts[:leaves]] = np.arange(leaves)
    return Hierarchy(order, starts, starts + sizes, children)
