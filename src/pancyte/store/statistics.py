"""What a corpus says about each gene, found in one pass and constant memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numba
import numpy as np
import pandas as pd

from pancyte.errors import InputError
from pancyte.store.corpus import Corpus
from pancyte.store.gather import row_sums
from pancyte.store.part import Part

TARGET = 1e4
"""Total count per cell to which values are scaled before their median is taken."""
ACCURACY = 0.01
"""Relative error of a median, at most."""

# a value in bin i lies in (γ^(i−1), γ^i]; its middle is off by at most ACCURACY: DDSketch
# (Masson et al., VLDB 2019). From 0.01 to 10⁴ counts per 10⁴.
_GAMMA = (1 + ACCURACY) / (1 - ACCURACY)
_LOWEST = 1e-2
_BINS = int(np.ceil(np.log(TARGET / _LOWEST) / np.log(_GAMMA))) + 2
SLAB = 4096


@dataclass(frozen=True)
class Statistics:
    """Counts of what was seen; those of two sets of cells add up to those of both.

    Attributes
    ----------
    names
        Features.
    bins
        How many non-zero values, scaled to 10,000 counts a cell, fell into each logarithmic bin;
        (features, bins) uint32.
    sums, squares
        Sum of the scaled values and of their squares, (features,) float64.
    depths
        Cells by total count, one bin per 2 %; (bins,) int64.
    cells
        How many cells.
    """

    names: pd.Index
    bins: np.ndarray
    sums: np.ndarray
    squares: np.ndarray
    depths: np.ndarray
    cells: int

    def __add__(self, other: Self) -> Self:
        if not self.names.equals(other.names):
            raise InputError(
                "These statistics are about other features.", fix="Take them from one corpus."
            )
        return replace(
            self,
            bins=self.bins + other.bins,
            sums=self.sums + other.sums,
            squares=self.squares + other.squares,
            depths=self.depths + other.depths,
            cells=self.cells + other.cells,
        )

    def table(self) -> pd.DataFrame:
        """Return per feature ``median``, ``detection``, ``mean`` and ``variance``.

        Returns
        -------
        The non-zero median is that of the scaled counts, within 1 % of the exact one, and 1 for
        a feature that was never seen; detection is the share of cells with a count; mean and
        variance are those of the scaled counts over all cells.
        """
        seen = self.bins.sum(axis=1, dtype=np.int64)
        mean = self.sums / self.cells
        # of an even number of values the median is between the two middle ones
        ranks = (seen - 1) // 2 + 1, seen // 2 + 1
        middle = sum(_middle(_places(self.bins, rank)) for rank in ranks) / 2
        return pd.DataFrame(
            {
                "median": np.where(seen > 0, _LOWEST * middle, 1.0),
                "detection": seen / self.cells,
                "mean": mean,
                "variance": np.maximum(self.squares / self.cells - mean**2, 0.0),
            },
            index=self.names,
        )

    def depth(self, quantiles: Sequence[float] = (0.05, 0.25, 0.5, 0.75, 0.95)) -> dict[float, int]:
        """Return quantiles of the total count of a cell, within 1 %."""
        reached = np.cumsum(self.depths)
        at = np.searchsorted(reached, np.array(quantiles) * reached[-1], side="left")
        depths = np.where(at > 0, _middle(at - 1), 0)
        return dict(zip(quantiles, np.rint(depths).astype(int).tolist(), strict=True))


def statistics(corpus: Corpus, *, names: Sequence[str] = ()) -> Statistics:
    """Go through a corpus once and count what its genes do.

    Parameters
    ----------
    corpus
        The cells.
    names
        Datasets to look at; all by default.

    Returns
    -------
    The sum over the datasets. Bins are whole numbers, so the medians do not depend on how the
    cells are divided; sums of floating-point numbers may differ in the last digits.
    """
    size = len(corpus.features)
    found = Statistics(
        corpus.features.index,
        np.zeros((size, _BINS), np.uint32),
        np.zeros(size),
        np.zeros(size),
        np.zeros(2 * _BINS, np.int64),
        sum(len(part) for part in corpus.parts if not names or part.name in names),
    )
    for part, columns in zip(corpus.parts, corpus.columns, strict=True):
        if not names or part.name in names:
            _add(found, part, columns)
    return found


def _add(found: Statistics, part: Part, columns: np.ndarray) -> None:
    for start in range(0, len(part), SLAB):
        offsets = np.asarray(part.offsets[start : start + SLAB + 1])
        low, high = int(offsets[0]), int(offsets[-1])
        values = np.asarray(part.values[low:high], np.float32)
        totals = row_sums(offsets - low, values)
        _count(offsets - low, part.ids[low:high], values, totals, columns, found.bins,
               found.sums, found.squares)  # fmt: skip
        place = np.where(totals > 0, np.ceil(np.log(np.maximum(totals, 1)) / np.log(_GAMMA)) + 1, 0)
        found.depths[:] += np.bincount(place.astype(np.int64), minlength=len(found.depths))


@numba.njit(nogil=True, cache=True)
def _count(
    offsets: np.ndarray, ids: np.ndarray, values: np.ndarray, totals: np.ndarray,
    columns: np.ndarray, bins: np.ndarray, sums: np.ndarray, squares: np.ndarray,
) -> None:  # fmt: skip
    step = np.log(_GAMMA)
    for row in range(len(totals)):
        for at in range(offsets[row], offsets[row + 1]):
            value = values[at] * TARGET / totals[row]
            feature = columns[ids[at]]
            place = int(np.ceil(np.log(value / _LOWEST) / step))
            bins[feature, min(max(place, 0), _BINS - 1)] += 1
            sums[feature] += value
            squares[feature] += value * value


@numba.njit(cache=True)
def _places(bins: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Find the bin of each feature's value of a given rank, from 1."""
    places = np.zeros(len(bins), np.int64)
    for feature in range(len(bins)):
        reached = 0
        for place in range(bins.shape[1]):
            reached += bins[feature, place]
            if reached >= ranks[feature]:
                places[feature] = place
                break
    return places


def _middle(place: np.ndarray) -> np.ndarray:
    """Return the value whose relative distance to both ends of a bin is the same."""
    return 2 * _GAMMA ** place.astype(float) / (_GAMMA + 1)
