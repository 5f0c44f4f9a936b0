"""What the cells of a cluster say together."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

MARGIN = 0.2


def consensus(
    clusters: ArrayLike, labels: ArrayLike, *, margin: float = MARGIN
) -> tuple[np.ndarray, np.ndarray]:
    """Label each cluster as most of its cells are, where they agree well enough.

    Parameters
    ----------
    clusters
        Cluster of each cell, (cells,).
    labels
        Label of each cell, (cells,); ``""`` abstains.
    margin
        By how much, as a share of the votes, the first label must lead the second.

    Returns
    -------
    labels, margins
        For each cell the label of its cluster, ``""`` where the lead is too small or nobody
        votes, and the lead.
    """
    groups, given = np.asarray(clusters), np.asarray(labels).astype(str)
    answer, leads = np.full(len(groups), "", dtype=object), np.zeros(len(groups))
    for cluster in np.unique(groups):
        rows = groups == cluster
        names, votes = np.unique(given[rows & (given != "")], return_counts=True)
        if not len(names):
            continue
        order = np.argsort(-votes, kind="stable")
        second = votes[order[1]] if len(votes) > 1 else 0
        leads[rows] = (votes[order[0]] - second) / votes.sum()
        if leads[rows][0] >= margin:
            answer[rows] = names[order[0]]
    return answer, leads
