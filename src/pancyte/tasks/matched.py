"""Two linear corrections of a frozen embedding: a rigid motion, or a scale, for each batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pancyte.tasks.baselines import PCA, batches_of

if TYPE_CHECKING:
    from pancyte.shapes import Cells
    from pancyte.tasks.task import Embeds

PARTNERS = 20
ROUNDS = 3
FEWEST = 20
"""Cells with a partner below which a batch is left where it is."""


class Matched:
    """Turn and shift each batch as one rigid body, so that cells that choose each other meet.

    The largest batch stays. Each further one, in order of size, is placed on those before it:
    cells of the two that are mutually among each other's 20 nearest are taken to be alike
    (Haghverdi et al. 2018, Nat. Biotechnol. 36:421), and the rotation and shift that bring these
    pairs closest are found in closed form (Procrustes; Schönemann 1966, Psychometrika 31:1). Three
    rounds. A rigid motion changes no distance within a batch, so no biology seen there is lost;
    but where batches hold different types it lays one type over another. Transductive, without
    labels.

    Parameters
    ----------
    on
        What gives the embedding that is corrected: principal components if not given.
    """

    corrects = True

    def __init__(self, on: Embeds | None = None) -> None:
        self.on: Any = on or PCA()
        self.name = "matched" if on is None else f"matched({on.name})"

    def embed(
        self, reference: Cells, *queries: Cells, batch_key: str | None, seed: int
    ) -> tuple[np.ndarray, ...]:
        """Return (cells, width) for the reference and for each query."""
        Z, batches, bounds = _embedded(self.on, (reference, *queries), batch_key, seed)
        names, sizes = np.unique(batches, return_counts=True)
        order = names[np.argsort(-sizes, kind="stable")]
        placed = batches == order[0]
        for name in order[1:]:
            rows = batches == name
            Z[rows] = _moved(Z[rows], Z[placed])
            placed |= rows
        return tuple(np.split(Z, bounds))


class Standardised:
    """Give every batch the same mean and scale in each direction: domain-specific normalisation.

    What batch-specific batch norm does to a layer (Chang et al. 2019, CVPR, arXiv:1906.03950),
    done to a frozen embedding. It takes for granted that batches hold the same cell types in
    the same shares; where they do not, it is wrong, and shows what over-correction looks like.

    Parameters
    ----------
    on
        As for `Matched`.
    """

    corrects = True

    def __init__(self, on: Embeds | None = None) -> None:
        self.on: Any = on or PCA()
        self.name = "standardised" if on is None else f"standardised({on.name})"

    def embed(
        self, reference: Cells, *queries: Cells, batch_key: str | None, seed: int
    ) -> tuple[np.ndarray, ...]:
        """Return (cells, width) for the reference and for each query."""
        Z, batches, bounds = _embedded(self.on, (reference, *queries), batch_key, seed)
        overall = Z.std(axis=0)
        for name in np.unique(batches):
            rows = batches == name
            spread = Z[rows].std(axis=0)
            scale = np.divide(overall, spread, out=np.ones_like(spread), where=spread > 0)
            Z[rows] = (Z[rows] - Z[rows].mean(axis=0)) * scale
        return tuple(np.split(Z, bounds))


def _embedded(
    on: Embeds, parts: tuple[Cells, ...], batch_key: str | None, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    vectors = on.embed(*parts, batch_key=batch_key, seed=seed)
    bounds = np.cumsum([len(cells) for cells in parts])[:-1]
    return np.vstack(vectors).astype(np.float64), batches_of(parts, batch_key), bounds


def mutual_pairs(A: np.ndarray, B: np.ndarray, k: int = PARTNERS) -> tuple[np.ndarray, np.ndarray]:
    """Find the cells of two sets that are among each other's `k` nearest.

    Returns
    -------
    rows of `A` and rows of `B`, (pairs,) each.
    """
    from scipy.sparse import csr_matrix
    from sklearn.neighbors import NearestNeighbors

    def chosen(by: np.ndarray, among: np.ndarray) -> csr_matrix:
        search = NearestNeighbors(n_neighbors=min(k, len(among)), algorithm="brute").fit(among)
        return csr_matrix(search.kneighbors_graph(by))

    both = chosen(A, B).multiply(chosen(B, A).T).tocoo()
    return both.row, both.col


def _moved(moving: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """Turn and shift `moving` onto its partners in `fixed`; leave it where too few are found."""
    for _ in range(ROUNDS):
        rows, partners = mutual_pairs(moving, fixed)
        if len(np.unique(rows)) < FEWEST:
            return moving
        here, there = moving[rows].mean(axis=0), fixed[partners].mean(axis=0)
        U, _, Vt = np.linalg.svd((moving[rows] - here).T @ (fixed[partners] - there))
        moving = (moving - here) @ (U @ Vt) + there
    return moving
