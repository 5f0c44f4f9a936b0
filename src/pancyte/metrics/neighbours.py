"""One exact neighbour search and one clustering protocol, the same for every embedding."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pancyte.errors import InputError

NEIGHBOURS = 15
RESOLUTION = 1.0


def checked(embedding: ArrayLike) -> np.ndarray:
    """Return `embedding` as float64, (cells, width).

    Raises
    ------
    InputError
        If it is not two-dimensional, has fewer than three cells or holds NaN or infinity.
    """
    Z = np.asarray(embedding, dtype=np.float64)
    if Z.ndim != 2 or len(Z) < 3 or not Z.shape[1]:
        raise InputError(
            f"An embedding must be (cells, width) with at least 3 cells; this one is {Z.shape}.",
            fix="Give one row per cell.",
        )
    bad = ~np.isfinite(Z).all(axis=1)
    if bad.any():
        raise InputError(
            f"{bad.sum()} of {len(Z)} cells have NaN or infinity in their embedding, first at "
            f"row {bad.argmax()}.",
            fix="Check the model's numerical precision and its input.",
        )
    return Z


def canonical_order(Z: np.ndarray) -> np.ndarray:
    """Order cells by their coordinates, so that no result depends on the order of a file.

    Cells at the very same place are put in a seeded random order: in file order, which is
    often batch by batch, a collapsed embedding would look badly mixed.
    """
    shuffled = np.random.default_rng(0).permutation(len(Z))
    return shuffled[np.lexsort(Z[shuffled].T[::-1])]


def nearest_neighbours(embedding: ArrayLike, k: int = NEIGHBOURS) -> np.ndarray:
    """Find each cell's `k` nearest cells by Euclidean distance, exactly.

    Returns
    -------
    (cells, k) row numbers, nearest first, without the cell itself; fewer columns if there are
    fewer other cells.
    """
    from sklearn.neighbors import NearestNeighbors

    Z = checked(embedding)
    order = canonical_order(Z)
    search = NearestNeighbors(n_neighbors=min(k, len(Z) - 1), algorithm="brute").fit(Z[order])
    found = search.kneighbors(return_distance=False)
    neighbours = np.empty_like(found)
    neighbours[order] = order[found]
    return neighbours


def leiden(embedding: ArrayLike, neighbours: np.ndarray | None = None) -> np.ndarray:
    """Cluster cells by one fixed protocol: 15 neighbours, Leiden, modularity, resolution 1.

    The graph joins each cell to its neighbours, undirected and unweighted; igraph's Leiden
    (Traag et al. 2019, Sci. Rep. 9:5233) runs until nothing changes, with seed 0. Nothing is
    tuned, so no method gets a better resolution than another.

    Returns
    -------
    Cluster numbers, (cells,).
    """
    import igraph

    Z = checked(embedding)
    found = nearest_neighbours(Z) if neighbours is None else neighbours
    order = canonical_order(Z)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    ends = place[found[order]].ravel()
    starts = np.repeat(np.arange(len(Z)), found.shape[1])
    edges = np.unique(np.sort(np.column_stack([starts, ends]), axis=1), axis=0)
    igraph.set_random_number_generator(random.Random(0))  # noqa: S311 -- not for secrets
    try:
        clusters = igraph.Graph(len(Z), edges).community_leiden(
            objective_function="modularity", resolution=RESOLUTION, n_iterations=-1
        )
    finally:
        igraph.set_random_number_generator(random)
    return np.asarray(clusters.membership)[place]


def with_neighbours(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Add ``neighbours`` and ``clusters`` to named arrays, so that metrics share one search."""
    Z = arrays["embedding"]
    neighbours = nearest_neighbours(Z)
    return {**arrays, "neighbours": neighbours, "clusters": leiden(Z, neighbours)}
