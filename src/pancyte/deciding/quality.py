"""Why a cell is not labelled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pancyte.shapes import Cells

EMPTY, LOW_QUALITY, NOVEL, AMBIGUOUS = "empty", "low quality", "novel", "ambiguous"
DEVIATIONS = 3.0
TO_SIGMA = 1.4826


def reasons(query: Cells, sets: np.ndarray, novelty: np.ndarray, *, level: float) -> np.ndarray:
    """Say of each cell why it is not labelled, ``""`` if it is.

    Parameters
    ----------
    query
        The cells.
    sets
        Labels left for each cell, (cells, labels) bool.
    novelty
        P-value of being of a known type, (cells,).
    level
        Below this a cell counts as novel.

    Returns
    -------
    (cells,). ``"empty"``: no counts. ``"novel"``: like no type of the reference.
    ``"ambiguous"``: more than one label is left. ``"low quality"`` in place of the last two for
    a cell with so few genes that this is the likelier reason; a cell with few genes that is
    certain all the same keeps its label.
    """
    answer = np.full(len(query), "", dtype=object)
    answer[sets.sum(axis=1) > 1] = AMBIGUOUS
    answer[novelty < level] = NOVEL
    answer[(answer != "") & few_genes(query)] = LOW_QUALITY
    answer[query.counts.getnnz(axis=1) == 0] = EMPTY
    return answer


def few_genes(query: Cells) -> np.ndarray:
    """Find cells with far fewer genes than the others: 3 median absolute deviations, in logs."""
    genes = np.log1p(query.counts.getnnz(axis=1))
    present = genes[genes > 0]
    if not len(present):
        return np.ones(len(genes), dtype=bool)
    middle = np.median(present)
    spread = TO_SIGMA * np.median(np.abs(present - middle))
    return np.asarray(genes < middle - DEVIATIONS * spread)
