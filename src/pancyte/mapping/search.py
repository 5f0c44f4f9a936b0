"""Who is nearest: exactly, or among the cells of the nearest lists."""

from __future__ import annotations

import numpy as np

from pancyte.errors import InputError

EXACT_UP_TO = 50_000
"""Cells up to which every cell is compared."""
BLOCK = 4_000_000
"""Distances held at a time, 16 MB."""
ROUNDS = 5
SAMPLED = 40
"""Cells of a list, on average, that its centre is found from."""
PROBED, PROBED_SHARE = 64, 1 / 16
"""Lists that are looked through for each cell: so many, or that share of all."""
ASKED = 4096


def bytes_a_cell(width: int) -> int:
    """Memory of a cell in an index: its vector, its length, its label and its row."""
    return 4 * width + 12


class Exact:
    """Compare with every cell of the reference.

    Parameters
    ----------
    vectors
        (cells, width) float32; may be mapped from disk.
    """

    kind = "exact"

    def __init__(self, vectors: np.ndarray) -> None:
        self.vectors = vectors
        self.squares = np.einsum("ij,ij->i", vectors, vectors)

    def nearest(self, asked: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return rows and Euclidean distances of the `k` nearest, (asked, k) each."""
        asked, k = asked.astype(np.float32), _enough(k, len(self.vectors))
        rows, lengths = np.empty((len(asked), k), int), np.empty((len(asked), k), np.float32)
        step = max(1, BLOCK // len(self.vectors))
        for start in range(0, len(asked), step):
            part = slice(start, start + step)
            block = self.squares - 2 * (asked[part] @ self.vectors.T)
            found = np.argpartition(block, k - 1, axis=1)[:, :k]
            rows[part], lengths[part] = _by_distance(asked[part], self.vectors, found)
        return rows, lengths


class Lists:
    """Compare with the cells of the nearest lists only (Jégou et al. 2011, PAMI 33:117).

    k-means on a sample gives 2 √cells lists; every cell is kept with the list of its nearest
    centre, side by side, so that a list is one slice of a file mapped from disk. A query looks
    through its nearest sixteenth of the lists, 64 at least; those who look through the same list
    do so together.

    Parameters
    ----------
    vectors
        (cells, width) float32, list by list.
    order
        Row in the reference of each of them, (cells,).
    bounds
        List ``i`` owns vectors ``bounds[i]:bounds[i + 1]``.
    centres
        (lists, width) float32.
    """

    kind = "lists"

    def __init__(
        self, vectors: np.ndarray, order: np.ndarray, bounds: np.ndarray, centres: np.ndarray
    ) -> None:
        self.vectors, self.order, self.bounds, self.centres = vectors, order, bounds, centres
        self.squares = np.einsum("ij,ij->i", vectors, vectors)

    @classmethod
    def build(cls, vectors: np.ndarray, *, seed: int = 0) -> Lists:
        """Sort the cells of the reference into lists."""
        lists = int(np.clip(2 * np.sqrt(len(vectors)), 1, len(vectors)))
        rng = np.random.default_rng(seed)
        sample = vectors[rng.permutation(len(vectors))[: SAMPLED * lists]]
        centres = sample[:lists].copy()
        for _ in range(ROUNDS):
            belongs = _closest(sample, centres)
            sums = np.zeros(centres.shape, np.float64)
            np.add.at(sums, belongs, sample)
            sizes = np.bincount(belongs, minlength=lists)
            filled = sizes > 0
            centres[filled] = sums[filled] / sizes[filled, None]
        belongs = _closest(vectors, centres)
        order = np.argsort(belongs, kind="stable").astype(np.int32)
        bounds = np.concatenate([[0], np.cumsum(np.bincount(belongs, minlength=lists))])
        return cls(vectors[order], order, bounds, centres)

    def nearest(self, asked: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return rows and Euclidean distances of about the `k` nearest, (asked, k) each."""
        asked, k = asked.astype(np.float32), _enough(k, len(self.vectors))
        parts = [self._some(asked[s : s + ASKED], k) for s in range(0, len(asked), ASKED)]
        rows, lengths = (np.concatenate(each) for each in zip(*parts, strict=True))
        return self.order[rows].astype(int), lengths

    def _some(self, asked: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        apart = np.einsum("ij,ij->i", self.centres, self.centres) - 2 * asked @ self.centres.T
        lists = len(self.centres)
        probes = min(max(PROBED, int(PROBED_SHARE * lists)), lists)
        while True:
            chosen = np.argpartition(apart, probes - 1, axis=1)[:, :probes]
            if np.diff(self.bounds)[chosen].sum(axis=1).min() >= k:
                break
            probes = min(2 * probes, lists)
        best = np.full((len(asked), probes, k), np.inf, np.float32)
        found = np.zeros((len(asked), probes, k), np.int32)
        order = np.argsort(chosen.ravel(), kind="stable")
        ends = np.cumsum(np.bincount(chosen.ravel(), minlength=lists))
        for number in np.unique(chosen):
            start, stop = self.bounds[number], self.bounds[number + 1]
            places = order[ends[number - 1] if number else 0 : ends[number]]
            who, slot = np.divmod(places, probes)
            block = self.squares[start:stop] - 2 * (asked[who] @ self.vectors[start:stop].T)
            few = min(k, stop - start)
            if few < stop - start:
                near = np.argpartition(block, few - 1, axis=1)[:, :few]
                block = np.take_along_axis(block, near, axis=1)
            else:
                near = np.broadcast_to(np.arange(few), block.shape)
            best[who, slot, :few], found[who, slot, :few] = block, near + start
        nearest = np.argpartition(best.reshape(len(asked), -1), k - 1, axis=1)[:, :k]
        rows = np.take_along_axis(found.reshape(len(asked), -1), nearest, axis=1)
        return _by_distance(asked, self.vectors, rows)


def _enough(k: int, cells: int) -> int:
    if not cells:
        raise InputError("The reference is empty.", fix="Give labelled cells.")
    return min(k, cells)


def _by_distance(
    asked: np.ndarray, vectors: np.ndarray, found: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Order found rows by exact distance; the products they were found by lose digits."""
    apart = asked[:, None] - vectors[found]
    lengths = np.sqrt(np.einsum("ijk,ijk->ij", apart, apart))
    order = np.lexsort((found, lengths))
    return np.take_along_axis(found, order, axis=1), np.take_along_axis(lengths, order, axis=1)


def _closest(vectors: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Nearest centre of each vector."""
    squares = np.einsum("ij,ij->i", centres, centres)
    step = max(1, BLOCK // len(centres))
    return np.concatenate([
        (squares - 2 * (vectors[start : start + step] @ centres.T)).argmin(axis=1)
        for start in range(0, len(vectors), step)
    ])  # fmt: skip
