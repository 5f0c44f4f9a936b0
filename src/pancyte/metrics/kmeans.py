"""k-means with as many clusters as there are cell types, from one seeded start."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from pancyte.metrics import draws
from pancyte.metrics.neighbours import checked

STEPS = 300


def kmeans(embedding: ArrayLike, clusters: int, *, seed: int = 0) -> np.ndarray:
    """Cluster cells by k-means (Lloyd 1982), started by k-means++ (Arthur & Vassilvitskii 2007).

    Every further start is the best of 2 + ⌊ln clusters⌋ cells drawn by squared distance. The
    start depends on the order of cells and on `seed`; it is that of scib-metrics.

    Returns
    -------
    Cluster numbers, (cells,).
    """
    Z = checked(embedding).astype(np.float32)
    Z = (Z - Z.mean(axis=0)).astype(np.float64)
    squares = (Z**2).sum(axis=1)
    centres = _start(Z, squares, clusters, draws.split((0, seed), 1)[0])
    belongs = np.full(len(Z), -1)
    for _ in range(STEPS + 1):
        found = _squared(Z, squares, centres).argmin(axis=1)
        if (found == belongs).all():
            break
        belongs = found
        one_hot = (belongs == np.arange(clusters)[:, None]).astype(np.float64)
        centres = one_hot @ Z / np.maximum(one_hot.sum(axis=1), 1)[:, None]
    return belongs


def _start(Z: np.ndarray, squares: np.ndarray, clusters: int, key: draws.Key) -> np.ndarray:
    key, drawn = draws.split(key)
    chosen = [int(draws.permutation(drawn, len(Z))[0])]
    nearest = _squared(Z, squares, Z[chosen])[:, 0]
    trials = 2 + int(math.log(clusters))
    for _ in range(clusters - 1):
        key, drawn = draws.split(key)
        tried = draws.sample(drawn, nearest / nearest.sum(), trials)
        closer = np.minimum(nearest[:, None], _squared(Z, squares, Z[tried]))
        best = int(closer.sum(axis=0).argmin())
        nearest = closer[:, best]
        chosen.append(int(tried[best]))
    return Z[chosen]


def _squared(Z: np.ndarray, squares: np.ndarray, centres: np.ndarray) -> np.ndarray:
    lengths = squares[:, None] - 2 * Z @ centres.T + (centres**2).sum(axis=1)
    return np.maximum(lengths, 0)
