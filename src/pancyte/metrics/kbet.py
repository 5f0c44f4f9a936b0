"""Whether a neighbourhood's batches are those of its cell type, cell by cell (kBET)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import eigh
from scipy.sparse import csr_matrix, diags
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import eigsh
from scipy.stats import chi2

from pancyte.errors import InputError
from pancyte.metrics.connectivity import connectivities
from pancyte.metrics.metric import same_length
from pancyte.metrics.survey import Near, survey

JOINED = 50
COMPONENTS = 100
ALPHA = 0.05
DENSE = 1500
"""Cells up to which all eigenvectors are cheaper than some."""


def kbet(
    embedding: ArrayLike, labels: ArrayLike, batches: ArrayLike, near: Near | None = None
) -> float:
    """How many cells' neighbourhoods have the batches of their type, by a chi-squared test.

    Within each type found in two batches: neighbours by diffusion distance on the graph of the
    50 nearest cells, a quarter of the mean batch's size (10 to 70 of them); the share of cells for
    which batches like in the whole type are not rejected at 5 %; averaged over types. A type
    that falls apart into small pieces counts 0.

    Parameters
    ----------
    embedding
        (cells, width).
    labels, batches
        Cell types and technical batches, (cells,).
    near
        As from `survey` of this embedding; found if not given.

    Raises
    ------
    InputError
        If no type of ten cells or more occurs in two batches.

    Notes
    -----
    Büttner et al. 2019, Nat. Methods 16:43; by type as Luecken et al. 2022, 19:41. `diffusion` says
    why a type's score may change with the order of the cells; so it is no registered metric, only
    a part of `pancyte.metrics.scib.scib`.
    """
    same_length(embedding=embedding, labels=labels, batches=batches)
    found = (survey(embedding).near if near is None else near).first(JOINED)
    graph = connectivities(found)
    types, groups = np.asarray(labels), np.asarray(batches)
    scores, components = [], COMPONENTS
    for name in np.unique(types):
        rows = np.flatnonzero(types == name)
        codes = np.unique(groups[rows], return_inverse=True)[1].ravel()
        if len(rows) < 10 or codes.max() == 0:
            continue
        k = int(np.clip(len(rows) / (codes.max() + 1) // 4, 10, 70))
        kept = _connected(graph[rows][:, rows], k)
        if len(kept) / len(rows) < 0.75:
            scores.append(0.0)
            continue
        # as scib-metrics 0.5.10 does: a small type lowers the number for all types after it
        components = min(components, len(kept) - 1)
        part = graph[rows[kept]][:, rows[kept]]
        scores.append(_accepted(diffusion(part, components), codes[kept], k))
    if not scores:
        raise InputError(
            "No cell type of ten cells or more occurs in two batches.",
            fix="Check the label and batch columns.",
        )
    return float(np.mean(scores))


def _connected(graph: csr_matrix, k: int) -> np.ndarray:
    """Rows of the graph's only part, or of all its parts that are large enough to test."""
    parts = connected_components(graph, directed=False)[1]
    sizes = np.bincount(parts)
    large = sizes >= (3 * k if len(sizes) > 1 else 0)
    return np.flatnonzero(large[parts])


def diffusion(graph: csr_matrix, components: int) -> np.ndarray:
    """Place cells so that straight distance is diffusion distance, all times added up.

    The density-normalised transition matrix of Coifman & Lafon 2006 (Appl. Comput. Harmon.
    Anal. 21:5), its eigenvectors of largest absolute value, each times λ/(1-λ).

    Returns
    -------
    (cells, components), float32.

    Notes
    -----
    The largest eigenvalue is 1, and rounding decides whether it is found to be 1, or so little
    less that its vector outweighs all others. The matrix is made in single precision, in this
    order, so that it is rounded as in scib-metrics and the scores stay comparable.
    """
    density = diags(1 / np.asarray(graph.sum(axis=0)).ravel())
    K = density @ graph @ density
    scale = diags(1 / np.sqrt(np.asarray(K.sum(axis=0)).ravel()))
    T = (scale @ K @ scale).astype(np.float64)
    if T.shape[0] <= DENSE:
        values, vectors = eigh(T.toarray())
        chosen = np.sort(np.argsort(-np.abs(values), kind="stable")[:components])
        values, vectors = values[chosen], vectors[:, chosen]
    else:
        start = np.random.default_rng(0).normal(size=T.shape[0])
        values, vectors = eigsh(T, k=components, which="LM", v0=start)
    values, vectors = values.astype(np.float32), vectors.astype(np.float32)
    at_one = values == 1
    return vectors * np.where(at_one, 1, values / np.where(at_one, 1, 1 - values))


def _accepted(places: np.ndarray, codes: np.ndarray, k: int) -> float:
    near = survey(places, k=k + 1).near.indices
    # a batch may be only in the small parts that were left out
    present = np.unique(codes, return_inverse=True)[1].ravel()
    batches = present.max() + 1
    expected = np.bincount(present) / len(present) * near.shape[1]
    observed = np.stack([(present[near] == b).sum(axis=1) for b in range(batches)], axis=1)
    statistic = ((observed - expected) ** 2 / expected).sum(axis=1)
    return float((chi2.sf(statistic, batches - 1) >= ALPHA).mean())
