"""The same cell in two datasets: found by its counts, or by its barcode and then its counts."""

from __future__ import annotations

import numba
import numpy as np
import pandas as pd

from pancyte.store.part import Part

TELLING = 20
"""Below this many genes two different cells may well look alike."""


def barcodes(names: pd.Index) -> np.ndarray:
    """Hash the barcode in each cell's name, or else the whole name, to 64 bits.

    Datasets that reuse each other's cells prefix and suffix the names in their own manner, and
    keep the run of A, C, G and T.
    """
    text = pd.Series(names.to_numpy(object)).astype(str)
    found = text.str.extract(r"([ACGTN]{10,})", expand=False).fillna(text)
    return pd.util.hash_array(found.to_numpy(object)).astype(np.uint64)


def again(part: Part, earlier: Part) -> np.ndarray:
    """Mark the cells that an earlier dataset has.

    A cell is the same if all its counts are, or if its barcode is and so are the counts of all
    genes that both datasets measured, with at least 20 genes seen: datasets often keep
    only some genes of the cells they reuse.

    Returns
    -------
    Boolean mask, (cells,).
    """
    telling = np.diff(part.offsets) >= TELLING
    found = telling & np.isin(part.hashes(), earlier.hashes())
    ours, theirs = (_shared(part, earlier), _shared(earlier, part))
    known = pd.Series(np.arange(len(earlier)), index=earlier.barcodes())
    asked = pd.Series(np.flatnonzero(telling & ~found), name="row")
    pairs = (
        known.rename("other")
        .to_frame()
        .join(asked.set_axis(part.barcodes()[asked.to_numpy()]), how="inner")
    )
    rows, others = pairs["row"].to_numpy(np.int64), pairs["other"].to_numpy(np.int64)
    same = _alike(
        rows, part.offsets, part.ids, part.values, ours,
        others, earlier.offsets, earlier.ids, earlier.values, theirs,
    )  # fmt: skip
    found[rows[same >= TELLING]] = True
    return found


def _shared(part: Part, other: Part) -> np.ndarray:
    """Number the features that both have, alike in both; -1 for the others."""
    ours, theirs = part.features().index, other.features().index
    both = ours.intersection(theirs).sort_values()
    return both.get_indexer(ours).astype(np.int32)


@numba.njit(cache=True, nogil=True)
def _alike(
    rows: np.ndarray, offsets: np.ndarray, ids: np.ndarray, values: np.ndarray, lookup: np.ndarray,
    others: np.ndarray, their_offsets: np.ndarray, their_ids: np.ndarray, their_values: np.ndarray,
    their_lookup: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Count the genes seen in both cells of each pair; -1 if a shared gene's counts differ."""
    found = np.empty(len(rows), np.int64)
    for pair in range(len(rows)):
        a, a_end = offsets[rows[pair]], offsets[rows[pair] + 1]
        b, b_end = their_offsets[others[pair]], their_offsets[others[pair] + 1]
        number = 0
        while True:
            # both rows rise in the shared numbering, so they can be walked side by side
            while a < a_end and lookup[ids[a]] < 0:
                a += 1
            while b < b_end and their_lookup[their_ids[b]] < 0:
                b += 1
            if a == a_end or b == b_end:
                if a < a_end or b < b_end:
                    number = -1
                break
            if lookup[ids[a]] != their_lookup[their_ids[b]] or values[a] != their_values[b]:
                number = -1
                break
            number, a, b = number + 1, a + 1, b + 1
        found[pair] = number
    return found
