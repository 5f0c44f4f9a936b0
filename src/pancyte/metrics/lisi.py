"""How many cell types, and how many batches, a cell's neighbourhood holds (LISI)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from pancyte.errors import InputError
from pancyte.metrics.metric import metric, same_length
from pancyte.metrics.survey import Near, survey

TOLERANCE = 1e-5
TRIES = 50
SOURCE = "Korsunsky et al. 2019, Nat. Methods 16:1289; scaled as Luecken et al. 2022, 19:41."


@metric(worst=0.0, best=1.0, source=SOURCE)
def clisi(embedding: ArrayLike, labels: ArrayLike, near: Near | None = None) -> float:
    """How pure neighbourhoods are in cell type (cLISI): 1 one type, 0 all types alike.

    The median over cells of the effective number of types among its 89 nearest cells, nearer
    ones weighing more, brought to 0 … 1.

    Parameters
    ----------
    embedding
        (cells, width).
    labels
        Cell types, (cells,); at least two different ones.
    near
        As from `survey` of this embedding, with its 90 nearest; found if not given.
    """
    same_length(embedding=embedding, labels=labels)
    number, kinds = _median(embedding, labels, near)
    return (kinds - number) / (kinds - 1)


@metric(worst=0.0, best=1.0, source=SOURCE)
def ilisi(embedding: ArrayLike, batches: ArrayLike, near: Near | None = None) -> float:
    """How mixed neighbourhoods are in batch (iLISI): 0 one batch, 1 all batches alike.

    Batches that differ in size or in cell types cannot reach 1, and a collapsed embedding comes
    close to it: never read this without a score of biology.

    Parameters
    ----------
    embedding, near
        As for `clisi`.
    batches
        Technical batches, (cells,); at least two different ones.
    """
    same_length(embedding=embedding, batches=batches)
    number, kinds = _median(embedding, batches, near)
    return (number - 1) / (kinds - 1)


def _median(embedding: ArrayLike, groups: ArrayLike, near: Near | None) -> tuple[float, int]:
    found = survey(embedding).near if near is None else near
    names, codes = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < 2:
        raise InputError(
            f"LISI needs two different labels or batches; all cells are {names[0]!r}.",
            fix="Check the column.",
        )
    return float(np.median(effective_number(found, codes.ravel()))), len(names)


def effective_number(near: Near, codes: np.ndarray) -> np.ndarray:
    """Inverse Simpson index of each neighbourhood, (cells,): 1 to the number of groups."""
    weights = neighbour_weights(near)
    rows = np.repeat(np.arange(len(codes)), near.indices.shape[1])
    width = codes.max() + 1
    cells = rows * width + codes[near.indices].ravel()
    shares = np.bincount(cells, weights.ravel(), minlength=len(codes) * width)
    simpson = (shares.reshape(len(codes), width) ** 2).sum(axis=1)
    return 1 / np.where(simpson > 0, simpson, 1)


def neighbour_weights(near: Near) -> np.ndarray:
    """Weigh neighbours by exp(-β·distance), with β such that a third of them count.

    β is found by bisection for each cell, until the entropy of the weights is the logarithm of
    a third of the neighbourhood's size (the perplexity of t-SNE; van der Maaten & Hinton 2008).

    Returns
    -------
    (cells, k), rows adding up to 1; 0 for the cell itself.
    """
    others = near.indices != np.arange(len(near.indices))[:, None]
    target = np.log(near.indices.shape[1] // 3)
    beta = np.ones(len(others))
    low, high = np.full(len(others), -np.inf), np.full(len(others), np.inf)
    weights = np.zeros(others.shape)
    left = np.arange(len(others))
    for attempt in range(TRIES + 1):
        lengths = near.distances[left]
        raw = np.exp(-lengths * beta[left, None]) * others[left]
        sums = raw.sum(axis=1)
        safe = np.where(sums > 0, sums, 1)
        weights[left] = raw / safe[:, None]
        entropy = np.log(safe) + beta[left] * (lengths * weights[left]).sum(axis=1)
        gap = np.where(sums > 0, entropy, 0) - target
        open_, gap = left[np.abs(gap) >= TOLERANCE], gap[np.abs(gap) >= TOLERANCE]
        if not len(open_) or attempt == TRIES:
            break
        flat = gap > 0
        low[open_[flat]], high[open_[~flat]] = beta[open_[flat]], beta[open_[~flat]]
        lower, upper, now = low[open_], high[open_], beta[open_]
        beta[open_] = np.where(
            np.isinf(upper), now * 2, np.where(np.isinf(lower), now / 2, (lower + upper) / 2)
        )
        left = open_
    return weights
