"""A growing file of cells, filled in one pass over a source whose size is not known yet."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import h5py
import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

TEXT = h5py.string_dtype("utf-8")
# values in a chunk of the growing arrays: one write a slab, little waste for few cells
CHUNK = 1 << 16
MANY = 1 << 16
"""A text column with more different values than this describes cells one by one."""

HASHES, BARCODES = MARKS = ("cell_hash", "barcode_hash")
"""Columns of ``obs`` with 64-bit fingerprints of each cell's counts and of its barcode."""
RESERVED = {*MARKS, "_index"}


class Spool:
    """Takes cells a slab at a time and keeps them on disk, uncompressed.

    Parameters
    ----------
    path
        A new file.

    Attributes
    ----------
    cells, nonzeros
        How many were taken.
    largest
        The largest value.
    whole
        Whether all values are whole numbers.
    levels
        For each text column of ``obs`` its values in order of appearance; the file holds codes.
    left_out
        Text columns with more than 65,536 values.
    """

    def __init__(self, path: Path) -> None:
        self._file = h5py.File(path, "w", libver="latest")
        self.cells = self.nonzeros = 0
        self.largest, self.whole = 0.0, True
        self.levels: dict[str, dict[str, int]] = {}
        self.left_out: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, counts: csr_matrix, marks: dict[str, np.ndarray], obs: pd.DataFrame) -> None:
        """Append cells: their counts, both fingerprints and columns of ``obs``."""
        self._append("lengths", np.diff(counts.indptr).astype(np.int32))
        self._append("ids", counts.indices.astype(np.int32))
        self._append("values", counts.data.astype(np.float32))
        for name, values in marks.items():
            self._append(name, values)
        self._append("names", obs.index.astype(str).to_numpy(object))
        for name in obs.columns:
            # a slash would make groups of it; AnnData writes none either
            self._column(str(name).replace("/", "_"), obs[name])
        if counts.nnz:
            self.largest = max(self.largest, float(counts.data.max()))
            self.whole = self.whole and bool((counts.data == np.rint(counts.data)).all())
        self.cells += counts.shape[0]
        self.nonzeros += counts.nnz

    def read(self, name: str, start: int, stop: int) -> np.ndarray:
        """Return a stretch of lengths, ids, values, names, a fingerprint or a column."""
        return self._file[name][start:stop]

    def columns(self) -> list[str]:
        """List the columns of ``obs`` that every slab had."""
        there = self._file.get("obs", {})
        return [name for name in there if len(there[name]) == self.cells]

    def hashes(self) -> np.ndarray:
        """Return the fingerprints of all cells, (cells,) uint64."""
        return self._file[HASHES][:]

    def _append(self, name: str, values: np.ndarray) -> None:
        kind = TEXT if values.dtype == object else values.dtype
        if name not in self._file:
            self._file.create_dataset(name, (0,), kind, maxshape=(None,), chunks=(CHUNK,))
        dataset = self._file[name]
        before = len(dataset)
        dataset.resize(before + len(values), axis=0)
        dataset[before:] = values

    def _column(self, name: str, values: pd.Series) -> None:
        if name in self.left_out or name in RESERVED:
            return
        if pd.api.types.is_numeric_dtype(values) and values.dtype != bool:
            self._append(f"obs/{name}", values.to_numpy(np.float64, na_value=np.nan))
            return
        levels = self.levels.setdefault(name, {})
        codes, found = pd.factorize(values)
        place = np.array(
            [levels.setdefault(str(level), len(levels)) for level in found] + [-1], np.int32
        )
        if len(levels) > MANY:
            self.left_out.append(name)
            del self._file[f"obs/{name}"], self.levels[name]
            return
        self._append(f"obs/{name}", place[codes])
