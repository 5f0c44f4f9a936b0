"""Rows of counts in the vocabulary's ids, compiled: totals, alignment, medians, truncation.

All kernels go row by row without the interpreter's lock, so that the tokens do not depend on how
many threads of a loader call them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from scipy.sparse import csr_matrix

from pancyte.tokenizers.radix import radix_sort, ranking, scratch


@dataclass(frozen=True)
class Rows:
    """Cells as packed (feature id, count) pairs, each cell's in rising order of the ids.

    Attributes
    ----------
    ids
        Feature ids in the vocabulary, (stored,).
    counts
        Raw counts above zero, (stored,), any numeric type.
    starts, stops
        Cell ``i`` owns ``starts[i]:stops[i]``; there may be gaps between cells. int64, (cells,).
    scale
        What to multiply a cell's counts by to normalise its depth, float64, (cells,).
    """

    ids: np.ndarray
    counts: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    scale: np.ndarray

    def top(self, medians: np.ndarray, max_length: int) -> tuple[np.ndarray | slice, np.ndarray]:
        """Choose each cell's `max_length` features that stand out most, in the order of their ids.

        Parameters
        ----------
        medians
            Corpus median of each feature, float64, (features,).
        max_length
            How many a cell may keep; ties go to the lower id.

        Returns
        -------
        positions, offsets
            Positions into `ids`, ``slice(None)`` where all are kept, and the cells' offsets.
        """
        lengths = self.stops - self.starts
        kept = np.minimum(lengths, max_length)
        offsets = offsets_of(kept)
        if offsets[-1] == len(self.ids):
            return slice(None), offsets
        positions = np.empty(offsets[-1], np.int64)
        cells = self.ids, self.counts, self.starts, self.stops, self.scale
        _chosen(cells, 1 / medians, offsets, positions)
        return positions, offsets

    def ranked(self, medians: np.ndarray, max_length: int) -> tuple[np.ndarray, ...]:
        """Order each cell's features by how far they stand above their median, and cut.

        Parameters are those of `top`.

        Returns
        -------
        ids, values, offsets
            Feature ids (int32), their places in the cell (float32), and the cells' offsets.
        """
        offsets = offsets_of(np.minimum(self.stops - self.starts, max_length))
        ids = np.empty(offsets[-1], np.int32)
        places = np.empty(offsets[-1], np.float32)
        cells = self.ids, self.counts, self.starts, self.stops, self.scale
        _ordered(cells, 1 / medians, offsets, ids, places)
        return ids, places, offsets


def offsets_of(lengths: np.ndarray) -> np.ndarray:
    """Turn lengths into offsets, int64: ``[3, 2] → [0, 3, 5]``."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


# Sums of counts are exact in any order below 2⁵³, so the compiler may add several at once
@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "nsz"})
def totals_of(starts: np.ndarray, stops: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Add up the values of each row in double precision. Shape (cells,)."""
    totals = np.empty(len(starts), np.float64)
    for row in range(len(totals)):
        values, total = data[starts[row] : stops[row]], 0.0
        for place in range(len(values)):
            total += values[place]
        totals[row] = total
    return totals


@numba.njit(nogil=True, cache=True)
def project(
    indptr: np.ndarray, indices: np.ndarray, data: np.ndarray, columns: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rename columns, leave out the unknown and add up those that share an id.

    Parameters
    ----------
    indptr, indices, data
        CSR counts with sorted indices.
    columns
        Id of each column, or -1, (columns,).

    Returns
    -------
    ids, counts, stops
        As in `Rows`, each row beginning where it did in `indptr`.
    """
    ids = np.empty(len(indices), np.int32)
    # Sums of small integer types would overflow in their own type
    counts = np.empty(len(indices), np.float64)
    stops = np.empty(len(indptr) - 1, np.int64)
    keys, spare, tallies = scratch(indptr[:-1], indptr[1:])
    largest, bits = 0, 1
    for column in columns:
        largest = max(largest, column)
    while largest >> bits:
        bits += 1
    for row in range(len(stops)):
        here = slice(indptr[row], indptr[row + 1])
        given, values, renamed, summed = indices[here], data[here], ids[here], counts[here]
        known, in_order, last = 0, True, np.int64(-1)
        for place in range(len(given)):
            column = columns[np.uint64(given[place])]
            if column >= 0:
                keys[known] = np.uint64(column) << np.uint64(32) | np.uint64(place)
                in_order &= column > last
                last = column
                known += 1
        found = keys if in_order else radix_sort(keys, spare, known, bits, tallies)
        end, last = 0, np.int64(-1)
        for place in range(known):
            column = np.int64(found[place] >> np.uint64(32))
            value = values[found[place] & np.uint64(0xFFFFFFFF)]
            if column == last:
                summed[end - 1] += value
            else:
                renamed[end], summed[end] = column, value
                end += 1
            last = column
        stops[row] = indptr[row] + end
    return ids, counts, stops


# A product with the reciprocal takes a third less time than a division. In double precision both
# agree to 15 digits, and a score keeps 7
@numba.njit(nogil=True, cache=True)
def _stand_out(  # type: ignore[no-untyped-def]
    features, counts, scale, weights, ratio
) -> None:
    """Multiply a cell's depth-normalised counts by one over the medians of their features."""
    for place in range(len(features)):
        ratio[place] = np.float32(counts[place] * scale * weights[np.uint64(features[place])])


@numba.njit(nogil=True, cache=True)
def _ordered(  # type: ignore[no-untyped-def]
    cells, weights, offsets, found, places
) -> None:
    ids, counts, starts, stops, scale = cells
    work = scratch(starts, stops)
    order = np.empty(len(work[0]), np.uint32)
    ratio = np.empty(len(order), np.float32)
    for row in range(len(starts)):
        features = ids[starts[row] : stops[row]]
        _stand_out(features, counts[starts[row] : stops[row]], scale[row], weights, ratio)
        ranking(ratio, len(features), work, order)
        here = slice(offsets[row], offsets[row + 1])
        ranked, numbered = found[here], places[here]
        for place in range(len(ranked)):
            ranked[place] = features[order[place]]
        for place in range(len(numbered)):
            numbered[place] = place


@numba.njit(nogil=True, cache=True)
def _chosen(  # type: ignore[no-untyped-def]
    cells, weights, offsets, positions
) -> None:
    ids, counts, starts, stops, scale = cells
    work = scratch(starts, stops)
    order = np.empty(len(work[0]), np.uint32)
    ratio = np.empty(len(order), np.float32)
    kept = np.zeros(len(order), np.bool_)
    for row in range(len(starts)):
        start, features = starts[row], ids[starts[row] : stops[row]]
        chosen = positions[offsets[row] : offsets[row + 1]]
        if len(chosen) == len(features):
            for place in range(len(chosen)):
                chosen[place] = start + place
            continue
        _stand_out(features, counts[starts[row] : stops[row]], scale[row], weights, ratio)
        ranking(ratio, len(features), work, order)
        for place in range(len(chosen)):
            kept[order[place]] = True
        found = 0
        for place in range(len(features)):
            if kept[place]:
                chosen[found] = start + place
                found += 1
                kept[place] = False


@numba.njit(parallel=True, cache=True)
def _column_medians(offsets: np.ndarray, values: np.ndarray) -> np.ndarray:
    medians = np.ones(len(offsets) - 1, np.float64)
    for column in numba.prange(len(medians)):
        start, stop = offsets[column], offsets[column + 1]
        if stop > start:
            medians[column] = np.median(values[start:stop])
    return medians


def nonzero_medians(normalised: csr_matrix) -> np.ndarray:
    """Median of each column's non-zero values; 1 where a column has none. Shape (features,)."""
    columns = normalised.tocsc()
    return _column_medians(columns.indptr, columns.data.astype(np.float64))
