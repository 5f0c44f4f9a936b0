"""A rare group, as several dealings of the reads agree on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pancyte.deciding.conformal import p_values
from pancyte.rare.calibrate import adjusted, calibrated
from pancyte.rare.doublets import explained_by_pairs
from pancyte.rare.markers import FEWEST, ROUNDS, evidence, overlap, panel_of
from pancyte.rare.split import Split, Tested

SAME = 0.5
"""Groups that share this part of the smaller one are the same."""


@dataclass(frozen=True)
class Group:
    """A group of cells with genes of its own.

    Attributes
    ----------
    cells
        Rows, sorted.
    markers
        Columns of its marker genes, the strongest first.
    p, q
        P-value, and false discoveries among groups that are called from this one on.
    fold
        How many times the level of the next group its markers have.
    stability
        Share of the dealings in which it was found.
    doublets
        Which part of what sets it apart from the most similar group a sum of two others explains.
    view
        Where it was found: ``"expression"``, or the name of an embedding.
    evidence
        Log odds of each of all cells to be of it, (all cells,).
    held_out
        P-value of each of all cells to be like those outside, in held-out reads; (all cells,).
    """

    cells: np.ndarray
    markers: np.ndarray
    p: float
    q: float
    fold: float
    stability: float
    doublets: float
    view: str
    evidence: np.ndarray
    held_out: np.ndarray

    @property
    def strength(self) -> float:
        """Minus log10 of the p-value for the size, by which groups are ranked."""
        return float(-np.log10(self.p) / np.sqrt(len(self.cells)))


def agreed(splits: Sequence[Split], null: np.ndarray, *, fewest: int, most: int) -> list[Group]:
    """Match the groups of several dealings, and give each one p-value.

    Twice the median of its p-values over the dealings, 1 where it was not found, is a p-value
    again (Meinshausen, Meier & Bühlmann 2009, J. Am. Stat. Assoc. 104:1671).

    Parameters
    ----------
    splits
        The dealings.
    null
        Strengths of groups in shuffled cells.
    fewest, most
        Cells of a group.

    Returns
    -------
    The groups, strongest first; `markers` are columns of the counts that were dealt out.
    """
    chances = [calibrated(one.strengths, null) for one in splits]
    rates = [adjusted(p) for p in chances]
    every = [(s, i) for s, one in enumerate(splits) for i in range(len(one.tested))]
    every.sort(key=lambda at: -_rank(splits[at[0]].tested[at[1]]))
    groups: list[Group] = []
    for s, i in every:
        tested = splits[s].tested[i]
        if any(_same(tested.candidate.cells, other.cells) for other in groups):
            continue
        partners = [_partner(tested, other, own=i if t == s else None)
                    for t, other in enumerate(splits)]  # fmt: skip
        p, q = (
            _median([1.0 if j is None else each[t][j] for t, j in enumerate(partners)])
            for each in (chances, rates)
        )
        stability = np.mean([j is not None for j in partners])
        made = _made(splits[s], tested, p, q, float(stability), fewest, most)
        groups += [] if made is None else [made]
    return sorted(groups, key=lambda group: -group.strength)


def _rank(tested: Tested) -> float:
    return tested.strength / float(np.sqrt(len(tested.candidate.cells)))


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return overlap(one, other) >= SAME


def _partner(tested: Tested, other: Split, *, own: int | None) -> int | None:
    if own is not None or not other.tested:
        return own
    shared = [overlap(tested.candidate.cells, one.candidate.cells) for one in other.tested]
    best = int(np.argmax(shared))
    return best if shared[best] >= SAME else None


def _median(values: list[float]) -> float:
    middle = sorted(values)[len(values) // 2]
    return middle if len(values) == 1 else min(1.0, 2 * middle)


def _made(
    split: Split, tested: Tested, p: float, q: float, stability: float, fewest: int, most: int
) -> Group | None:
    found, panel = tested.candidate.cells, tested.candidate.panel
    _, held = split.grounds[tested.view]
    whole = split.whole[tested.view]
    cells, markers = found, panel
    for _ in range(ROUNDS):
        others, _ = whole.others(cells)
        odds = evidence(whole, cells, markers, others[:, markers].max(axis=0))
        cells = np.flatnonzero(odds > 0)
        if not fewest <= len(cells) <= most:
            return None
        others, _ = whole.others(cells)
        markers = panel_of(whole, cells, others)
        if len(markers) < FEWEST:
            return None
    own, highest = whole.rate(cells)[markers], others[:, markers].max(axis=0)
    outside = np.setdiff1d(np.arange(len(odds)), np.union1d(cells, found))
    rivals, _ = held.others(found)
    blind = evidence(held, found, panel, rivals[:, panel].max(axis=0))
    return Group(
        cells=cells,
        markers=whole.genes[markers],
        p=p,
        q=q,
        fold=float(np.exp(np.median(np.log(own / highest)))),
        stability=stability,
        doublets=explained_by_pairs(whole.rate(cells), others),
        view=tested.view,
        evidence=odds,
        held_out=p_values(blind[outside], blind),
    )
