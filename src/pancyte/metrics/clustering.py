"""Whether cells of one type lie together and apart from others."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from pancyte.errors import InputError
from pancyte.metrics.metric import metric, same_length
from pancyte.metrics.neighbours import canonical_order, checked, leiden, nearest_neighbours

SILHOUETTE_CELLS = 10_000


@metric(
    worst=0.0,
    best=1.0,
    source="Hubert & Arabie 1985, J. Classif. 2:193; Leiden: Traag et al. 2019.",
)
def ari(embedding: ArrayLike, labels: ArrayLike, clusters: ArrayLike | None = None) -> float:
    """Agreement of clusters with cell types, pairs of cells counted (adjusted Rand index).

    0 is what chance gives; a value below 0 is possible and means worse than chance.

    Parameters
    ----------
    embedding
        (cells, width).
    labels
        Cell types, (cells,).
    clusters
        As from `leiden` of this embedding; found if not given.
    """
    from sklearn.metrics import adjusted_rand_score

    same_length(embedding=embedding, labels=labels)
    found = leiden(embedding) if clusters is None else clusters
    return adjusted_rand_score(labels, found)


@metric(
    worst=0.0,
    best=1.0,
    source="Strehl & Ghosh 2002, JMLR 3:583 (arithmetic mean); Leiden: Traag et al. 2019.",
)
def nmi(embedding: ArrayLike, labels: ArrayLike, clusters: ArrayLike | None = None) -> float:
    """Agreement of clusters with cell types, information shared (normalised).

    Parameters
    ----------
    embedding, labels, clusters
        As for `ari`.
    """
    from sklearn.metrics import normalized_mutual_info_score

    same_length(embedding=embedding, labels=labels)
    found = leiden(embedding) if clusters is None else clusters
    return normalized_mutual_info_score(labels, found)


@metric(
    worst=0.0,
    best=1.0,
    source="Rousseeuw 1987, J. Comput. Appl. Math. 20:53; Luecken et al. 2022, Nat. Methods 19:41.",
)
def asw_label(embedding: ArrayLike, labels: ArrayLike) -> float:
    """How much closer cells are to their own type than to the next (silhouette, 0 to 1).

    The mean silhouette width, from -1 … 1 to 0 … 1, so that .5 means types overlap. Above
    10,000 cells a fixed random subset of 10,000 is used.

    Parameters
    ----------
    embedding
        (cells, width).
    labels
        Cell types, (cells,); at least two different ones.
    """
    from sklearn.metrics import silhouette_score

    same_length(embedding=embedding, labels=labels)
    Z, types = checked(embedding), np.asarray(labels)
    rows = subset(Z)
    if not 1 < len(np.unique(types[rows])) < len(rows):
        raise InputError(
            f"A silhouette needs two to {len(rows) - 1} different labels; "
            f"there are {len(np.unique(types[rows]))}.",
            fix="Check the label column.",
        )
    return (silhouette_score(Z[rows], types[rows]) + 1) / 2


@metric(
    worst=0.0,
    best=1.0,
    source="Fraction of same-type neighbours; cf. 1 - cLISI, Korsunsky et al. 2019.",
)
def knn_purity(
    embedding: ArrayLike, labels: ArrayLike, neighbours: np.ndarray | None = None
) -> float:
    """Fraction of a cell's 15 nearest neighbours that are of its own type, averaged over cells.

    Parameters
    ----------
    embedding
        (cells, width).
    labels
        Cell types, (cells,).
    neighbours
        As from `nearest_neighbours` of this embedding; found if not given.
    """
    same_length(embedding=embedding, labels=labels)
    types = np.asarray(labels)
    found = nearest_neighbours(embedding) if neighbours is None else neighbours
    return (types[found] == types[:, None]).mean()


def subset(Z: np.ndarray) -> np.ndarray:
    """Rows a silhouette is computed on: all, or a fixed random 10,000 whatever the file's order."""
    order = canonical_order(Z)
    if len(Z) <= SILHOUETTE_CELLS:
        return order
    chosen = np.random.default_rng(0).choice(len(Z), SILHOUETTE_CELLS, replace=False)
    return order[np.sort(chosen)]
