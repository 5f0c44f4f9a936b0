"""Whether a group may be two cells read as one."""

from __future__ import annotations

import numpy as np

SHARES = (0.3, 0.5, 0.7)
COMPARED = 25


def explained_by_pairs(rates: np.ndarray, others: np.ndarray) -> float:
    """Which part of what sets a group apart a sum of two other groups explains.

    Doublets of two types look like the sum of their counts (Wolock, Lopez & Klein 2019, Cell Syst.
    8:281). Profiles are compared by the cosine of their roots.

    Parameters
    ----------
    rates
        Rates of the group, (genes,).
    others
        Rates of the groups it is compared with, (groups, genes); of more than 25 those most alike.

    Returns
    -------
    0 if no sum is nearer than the nearest group itself, 1 if a sum is the group.
    """
    if len(others) < 2:
        return 0.0
    root = _unit(np.sqrt(rates)[None])[0]
    alike = _unit(np.sqrt(others)) @ root
    near = np.argsort(-alike, kind="stable")[:COMPARED]
    apart = 1 - alike[near[0]]
    first, second = np.triu_indices(len(near), 1)
    best = alike[near[0]]
    for share in SHARES:
        sums = share * others[near[first]] + (1 - share) * others[near[second]]
        best = max(best, float((_unit(np.sqrt(sums)) @ root).max()))
    return float(np.clip(1 - (1 - best) / max(apart, 1e-12), 0, 1))


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
