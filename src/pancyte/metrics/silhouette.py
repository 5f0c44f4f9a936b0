"""Silhouettes: of rare cell types among all others, and of batches within cell types."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from pancyte.errors import InputError
from pancyte.metrics.metric import metric, same_length
from pancyte.metrics.neighbours import checked
from pancyte.metrics.survey import survey


@metric(worst=0.0, best=1.0, source="Luecken et al. 2022, Nat. Methods 19:41 (by silhouette).")
def isolated_labels(
    embedding: ArrayLike,
    labels: ArrayLike,
    batches: ArrayLike,
    silhouettes: np.ndarray | None = None,
) -> float:
    """How well the types found in the fewest batches stay apart from the others.

    The mean silhouette width, 0 to 1, of each type that occurs in as few batches as any does,
    averaged over these types. What aligns batches too hard loses them first.

    Parameters
    ----------
    embedding
        (cells, width).
    labels, batches
        Cell types and technical batches, (cells,).
    silhouettes
        Of `labels`, as from `survey`; found if not given.
    """
    same_length(embedding=embedding, labels=labels, batches=batches)
    types, groups = np.asarray(labels), np.asarray(batches)
    widths = survey(embedding, types).silhouettes() if silhouettes is None else silhouettes
    occurs = {name: len(np.unique(groups[types == name])) for name in np.unique(types)}
    fewest = min(occurs.values())
    means = [widths[types == name].mean() for name, found in occurs.items() if found == fewest]
    return float(np.mean((np.array(means) + 1) / 2))


@metric(worst=0.0, best=1.0, source="Rautenstrauch & Ohler 2025, Nat. Biotechnol. (BRAS).")
def bras(embedding: ArrayLike, labels: ArrayLike, batches: ArrayLike) -> float:
    """How little a cell's direction tells its batch within its type: 1 nothing, 0 all.

    One minus the absolute silhouette width of batches within a type, by cosine distance and
    against all other batches together (the nearest one would hide that two of many are mixed);
    averaged over the type's cells, then over types found in two batches or more.

    Parameters
    ----------
    embedding, labels, batches
        As for `isolated_labels`.

    Raises
    ------
    InputError
        If no cell type occurs in two batches.

    Notes
    -----
    A mean cosine distance is one minus a product with a mean direction, so the cost grows
    with the number of cells, not of pairs.
    """
    same_length(embedding=embedding, labels=labels, batches=batches)
    Z, types, groups = checked(embedding), np.asarray(labels), np.asarray(batches)
    lengths = np.linalg.norm(Z, axis=1, keepdims=True)
    directions = np.divide(Z, lengths, out=np.zeros_like(Z), where=lengths > 0)
    scores = []
    for name in np.unique(types):
        rows = np.flatnonzero(types == name)
        codes = np.unique(groups[rows], return_inverse=True)[1].ravel()
        if 0 < codes.max() < len(rows) - 1:
            scores.append(1 - np.abs(_against_others(directions[rows], codes)).mean())
    if not scores:
        raise InputError(
            "No cell type occurs in two batches, so mixing cannot be told from biology.",
            fix="Check the label and batch columns, or leave the batch column out.",
        )
    return float(np.mean(scores))


def _against_others(directions: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Silhouette of each cell: its own batch against all other cells, by cosine distance."""
    one_hot = (codes == np.arange(codes.max() + 1)[:, None]).astype(np.float64)
    sizes = one_hot.sum(axis=1)
    apart = sizes - directions @ (one_hot @ directions).T
    own = apart[np.arange(len(codes)), codes]
    size = sizes[codes]
    others = (apart.sum(axis=1) - own) / (len(codes) - size)
    # a cell is at distance 0 from itself; rounding may leave a little less
    own = np.maximum(own, 0) / np.maximum(size - 1, 1)
    widest = np.maximum(own, others)
    width = np.divide(others - own, widest, out=np.zeros_like(own), where=widest > 0)
    return np.where(size > 1, width, 0.0)
