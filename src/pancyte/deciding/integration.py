"""What an integration did to biology and to batches, side by side, and whether it went too far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pancyte.errors import InputError
from pancyte.metrics.lisi import ilisi
from pancyte.metrics.neighbours import leiden, nearest_neighbours
from pancyte.metrics.scib import pcr_comparison, scib

DRAWS = 5
SHARE = 0.8
MOST = 2000
"""Cells of a draw, so that the cost does not grow with the data."""
FEWEST = 10
"""Cells of a group below which nothing is said of it."""
MARGIN = 0.1
SOFT_MARGIN = 0.25
"""Loss of neighbours of one's own kind that counts: of a cell type, of a cluster without names."""
UNCORRECTED = "pca"


@dataclass(frozen=True)
class Loss:
    """A group of cells whose neighbours are of their own kind less often than before.

    Attributes
    ----------
    group
        The cell type, or a cluster of one batch.
    batches
        Where its cells were measured.
    before, after
        Share of its cells' 15 nearest that are of the group.
    """

    group: str
    batches: tuple[str, ...]
    before: float
    after: float

    def __str__(self) -> str:
        where = f" (only in {self.batches[0]})" if len(self.batches) == 1 else ""
        return f"{self.group}{where}: {self.before:.0%} → {self.after:.0%}"


@dataclass(frozen=True)
class Evidence:
    """How one integration did, over draws of the cells.

    Attributes
    ----------
    method
        Its name.
    biology, batch, total
        One value for each draw, the same cells for all methods.
    scores
        Mean of each score.
    lost
        Groups that were mixed with others.
    """

    method: str
    biology: np.ndarray
    batch: np.ndarray
    scores: dict[str, float]
    lost: tuple[Loss, ...] = field(default=())

    @property
    def total(self) -> np.ndarray:
        """.6 biology + .4 batch of each draw."""
        return 0.6 * self.biology + 0.4 * self.batch

    @property
    def overcorrected(self) -> tuple[Loss, ...]:
        """Groups of a single batch that were mixed with others, where no batch effect was."""
        return tuple(loss for loss in self.lost if len(loss.batches) == 1)

    def row(self) -> dict[str, Any]:
        """Everything as plain data."""
        parts = {"biology": self.biology, "batch": self.batch, "total": self.total}
        means = {name: round(float(values.mean()), 4) for name, values in parts.items()}
        spread = {f"{name}_sd": round(float(v.std(ddof=1)), 4) for name, v in parts.items()}
        scores = {name: round(value, 4) for name, value in self.scores.items()}
        return {"method": self.method, **means, **spread, "scores": scores,
                "lost": [str(loss) for loss in self.lost],
            "overcorrected": bool(self.overcorrected)}  # fmt: skip


def weigh(
    embeddings: Mapping[str, np.ndarray],
    before: np.ndarray,
    batches: np.ndarray,
    labels: np.ndarray | None = None,
    *,
    seed: int = 0,
) -> list[Evidence]:
    """Score integrations by biology and by batch, on the same draws of the cells.

    With labels: scIB's scores (`pancyte.metrics.scib.scib`). Without: biology is how far the
    clusters that each batch shows by itself still hold together, batch the mean of iLISI and of
    the batches' share of variance that is gone.

    Parameters
    ----------
    embeddings
        (cells, width) by name.
    before
        The cells before integration, (cells, any width).
    batches
        Technical batches, (cells,).
    labels
        Cell types, ``""`` where not known, or None.
    seed
        Of the draws.

    Raises
    ------
    InputError
        If labels are given, but no type occurs in two batches.
    """
    if labels is not None:
        _require_shared(labels, batches)
    known = np.flatnonzero(labels != "") if labels is not None else np.arange(len(batches))
    groups = _clusters(before, batches) if labels is None else labels
    rng = np.random.default_rng(seed)
    size = min(MOST, max(3, int(SHARE * len(known))))
    draws = [np.sort(rng.choice(known, size, replace=False)) for _ in range(DRAWS)]
    # what was lost is looked for among as many cells as one draw may have, twice over
    seen = np.sort(rng.choice(known, min(2 * MOST, len(known)), replace=False))
    plain = _purity(before[seen], groups[seen], batches[seen], within=labels is None)
    margin = SOFT_MARGIN if labels is None else MARGIN
    found = []
    for name, Z in embeddings.items():
        rows = [_scored(Z[r], before[r], groups[r], batches[r], labels is None) for r in draws]
        biology = np.array([np.mean(list(first.values())) for first, _ in rows])
        batch = np.array([np.mean(list(second.values())) for _, second in rows])
        each = [first | second for first, second in rows]
        scores = {key: float(np.mean([one[key] for one in each])) for key in each[0]}
        after = _purity(Z[seen], groups[seen], batches[seen], within=labels is None)
        found.append(
            Evidence(name, biology, batch, scores, _losses(plain, after, groups, batches, margin))
        )
    return found


def _scored(
    Z: np.ndarray, before: np.ndarray, groups: np.ndarray, batches: np.ndarray, unlabelled: bool
) -> tuple[dict[str, float], dict[str, float]]:
    if not unlabelled:
        scores = scib(Z, groups, batches, before=before)
        return scores.biology, scores.batch
    purity = _purity(Z, groups, batches, within=True)
    sizes = {name: int((groups == name).sum()) for name in purity}
    kept = sum(purity[name] * sizes[name] for name in purity) / sum(sizes.values())
    batch = {"ilisi": ilisi(Z, batches), "pcr_comparison": pcr_comparison(before, Z, batches)}
    return {"clusters_kept": kept}, batch


def _require_shared(labels: np.ndarray, batches: np.ndarray) -> None:
    named = labels != ""
    pairs = np.unique(np.column_stack([labels[named], batches[named]]), axis=0)
    counts = np.unique(pairs[:, 0], return_counts=True)[1] if len(pairs) else np.zeros(0)
    if not (counts > 1).any():
        raise InputError(
            f"None of the {len(counts)} cell types occurs in two batches: batch and biology cannot "
            "be told apart, so no integration of these cells can be judged, or trusted.",
            fix="Check both columns; where this is the design, analyse the batches one by one.",
        )


def _clusters(before: np.ndarray, batches: np.ndarray) -> np.ndarray:
    """Cluster each batch by itself, so that no batch effect can make a cluster."""
    names = np.empty(len(batches), dtype=object)
    for batch in np.unique(batches):
        rows = np.flatnonzero(batches == batch)
        if len(rows) < 3:
            names[rows] = f"{batch}, cluster 0"
            continue
        names[rows] = [f"{batch}, cluster {number}" for number in leiden(before[rows])]
    return names.astype(str)


def _purity(
    Z: np.ndarray, groups: np.ndarray, batches: np.ndarray, *, within: bool
) -> dict[str, float]:
    """Share of a group's cells' 15 nearest that are of the group; `within` each batch alone."""
    same = np.full(len(groups), np.nan)
    parts = [np.flatnonzero(batches == b) for b in np.unique(batches)] if within else None
    for rows in parts or [np.arange(len(groups))]:
        if len(rows) > 2:
            near = rows[nearest_neighbours(Z[rows])]
            same[rows] = (groups[near] == groups[rows, None]).mean(axis=1)
    names, counts = np.unique(groups, return_counts=True)
    return {
        str(name): float(np.nanmean(same[groups == name]))
        for name in names[counts >= FEWEST]
        if np.isfinite(same[groups == name]).any()
    }


def _losses(
    before: Mapping[str, float],
    after: Mapping[str, float],
    groups: np.ndarray,
    batches: np.ndarray,
    margin: float,
) -> tuple[Loss, ...]:
    fallen = [name for name in before if after[name] < before[name] - margin]
    return tuple(
        Loss(name, tuple(np.unique(batches[groups == name])), before[name], after[name])
        for name in fallen
    )


def choose(found: list[Evidence]) -> tuple[Evidence, str]:
    """Choose the integration with the best total among those that mixed no type of one batch.

    No integration (`UNCORRECTED`) stands unless it is beaten by more than the standard deviation
    of the difference over draws.

    Returns
    -------
    chosen, why
    """
    ranked = sorted(found, key=lambda one: -one.total.mean())
    sound = [one for one in ranked if not one.overcorrected]
    if not sound:
        least = next((one for one in ranked if one.method == UNCORRECTED), ranked[0])
        return least, "every method mixed a type found in one batch only with others"
    best = sound[0]
    plain = next((one for one in sound if one.method == UNCORRECTED), None)
    refused = [one.method for one in ranked[: ranked.index(best)]]
    rest = f"; passed over as over-corrected: {', '.join(refused)}" if refused else ""
    if plain is None or best is plain:
        return best, f"{best.method} has the best total, {best.total.mean():.3f}{rest}"
    gap = best.total - plain.total
    if gap.mean() <= gap.std(ddof=1):
        return plain, f"nothing beats no integration by more than chance{rest}"
    return best, (
        f"{best.method}: total {best.total.mean():.3f} against {plain.total.mean():.3f} without "
        f"integration (biology {best.biology.mean():.3f} against {plain.biology.mean():.3f}, batch "
        f"{best.batch.mean():.3f} against {plain.batch.mean():.3f}){rest}"
    )
