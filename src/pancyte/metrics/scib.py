"""scIB's scores of an integration, biology and batch side by side, from one neighbour search."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from pancyte.errors import InputError
from pancyte.metrics.clustering import ari, nmi
from pancyte.metrics.connectivity import JOINED, connectivities, graph_connectivity
from pancyte.metrics.kbet import kbet
from pancyte.metrics.kmeans import kmeans
from pancyte.metrics.lisi import clisi, ilisi
from pancyte.metrics.metric import same_length
from pancyte.metrics.neighbours import checked
from pancyte.metrics.silhouette import bras, isolated_labels
from pancyte.metrics.survey import Near, survey

if TYPE_CHECKING:
    from igraph import Graph

RESOLUTIONS = tuple(x / 5 for x in range(1, 11))
LEIDEN_SEED = 42


@dataclass(frozen=True)
class Scores:
    """Scores of one embedding; each from 0, worst, to 1.

    Attributes
    ----------
    biology
        `isolated_labels`, ``kmeans_nmi``, ``kmeans_ari``, ``silhouette_label``, `clisi` and, if
        asked for, ``leiden_nmi`` and ``leiden_ari``.
    batch
        `bras`, `ilisi`, `kbet`, `graph_connectivity` and, with an embedding from before,
        `pcr_comparison`.
    """

    biology: dict[str, float]
    batch: dict[str, float]

    @property
    def biology_mean(self) -> float:
        """Mean of the scores of biology."""
        return float(np.mean(list(self.biology.values())))

    @property
    def batch_mean(self) -> float:
        """Mean of the scores of batch mixing."""
        return float(np.mean(list(self.batch.values())))

    @property
    def total(self) -> float:
        """.6 biology + .4 batch (Luecken et al. 2022, Nat. Methods 19:41)."""
        return 0.6 * self.biology_mean + 0.4 * self.batch_mean


def scib(
    embedding: ArrayLike,
    labels: ArrayLike,
    batches: ArrayLike,
    *,
    before: ArrayLike | None = None,
    leiden: bool = False,
) -> Scores:
    """Score an integration as scib-metrics' Benchmarker does, biology and batch side by side.

    Parameters
    ----------
    embedding
        (cells, width).
    labels
        Cell types, (cells,); two or more.
    batches
        Technical batches, (cells,); two or more.
    before
        The same cells before integration, such as their principal components, (cells, any
        width); without it there is no `pcr_comparison`.
    leiden
        Whether to cluster by Leiden at ten resolutions as well and take the best by NMI, which
        the Benchmarker does only if asked. It favours no embedding, but uses the labels.

    Raises
    ------
    InputError
        If there are fewer than two types or batches, or no type occurs in two batches.

    Notes
    -----
    Equal to scib-metrics 0.5.10 to .001 on the same input (``docs/results/scib-parity.md``).
    """
    same_length(embedding=embedding, labels=labels, batches=batches)
    Z, types, groups = checked(embedding), np.asarray(labels), np.asarray(batches)
    if len(np.unique(types)) < 2 or len(np.unique(groups)) < 2:
        raise InputError(
            f"There are {len(np.unique(types))} cell types and {len(np.unique(groups))} batches.",
            fix="scIB's scores need two of each; check the columns.",
        )
    found = survey(Z, types)
    near, silhouettes = found.near, found.silhouettes()
    clusters = kmeans(Z, len(np.unique(types)))
    biology = {
        "isolated_labels": isolated_labels(Z, types, groups, silhouettes=silhouettes),
        "kmeans_nmi": nmi(Z, types, clusters=clusters),
        "kmeans_ari": ari(Z, types, clusters=clusters),
        "silhouette_label": float(silhouettes.mean() + 1) / 2,
        "clisi": clisi(Z, types, near=near),
    }
    if leiden:
        clusters = best_leiden(Z, near, types)
        biology |= {
            "leiden_nmi": nmi(Z, types, clusters=clusters),
            "leiden_ari": ari(Z, types, clusters=clusters),
        }
    batch = {
        "bras": bras(Z, types, groups),
        "ilisi": ilisi(Z, groups, near=near),
        "kbet": kbet(Z, types, groups, near=near),
        "graph_connectivity": graph_connectivity(Z, types, near=near),
    }
    if before is not None:
        batch["pcr_comparison"] = pcr_comparison(before, Z, groups)
    return Scores(biology, batch)


def pcr_comparison(before: ArrayLike, after: ArrayLike, batches: ArrayLike) -> float:
    """How much of the batches' share of variance integration took away: 0 none, 1 all.

    Principal component regression (Büttner et al. 2019, Nat. Methods 16:43), before and after.
    Over all components, the variance that batches explain in each, weighted by the component's
    own, is the variance between batches over the total: no component need be computed.

    Parameters
    ----------
    before, after
        The same cells, (cells, width); widths may differ.
    batches
        Technical batches, (cells,).
    """
    same_length(before=before, after=after, batches=batches)
    codes = np.unique(np.asarray(batches), return_inverse=True)[1].ravel()
    first, second = (_between(checked(Z), codes) for Z in (before, after))
    return max(0.0, (first - second) / first) if first > 0 else 0.0


def _between(Z: np.ndarray, codes: np.ndarray) -> float:
    """Share of the variance that lies between groups."""
    Z = Z - Z.mean(axis=0)
    sizes = np.bincount(codes)
    means = np.stack([Z[codes == code].mean(axis=0) for code in range(len(sizes))])
    total = (Z**2).sum()
    return float((sizes[:, None] * means**2).sum() / total) if total > 0 else 0.0


def best_leiden(embedding: ArrayLike, near: Near, labels: ArrayLike) -> np.ndarray:
    """Cluster by Leiden at resolutions .2, .4 … 2; return the clusters nearest to the labels.

    On the graph of the 15 nearest cells with UMAP's weights; the best by NMI, as scIB does. The
    labels take part, so this is for comparing embeddings, not for finding clusters.
    """
    import igraph
    from sklearn.metrics import normalized_mutual_info_score

    weights = connectivities(near.first(JOINED))
    # both directions of an edge, in this order, as scanpy's graphs have them: ties depend on it
    edges = np.column_stack(weights.nonzero())
    graph = igraph.Graph(weights.shape[0], edges)
    tried = [_leiden(graph, weights.data, resolution) for resolution in RESOLUTIONS]
    return max(tried, key=lambda found: normalized_mutual_info_score(labels, found))


def _leiden(graph: Graph, weights: np.ndarray, resolution: float) -> np.ndarray:
    import igraph

    igraph.set_random_number_generator(random.Random(LEIDEN_SEED))  # noqa: S311 -- not for secrets
    try:
        found = graph.community_leiden(
            objective_function="modularity", weights=weights, resolution=resolution
        )
    finally:
        igraph.set_random_number_generator(random)
    return np.asarray(found.membership)
