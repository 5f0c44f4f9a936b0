"""One dataset of a corpus: a plain h5ad whose counts are mapped into memory, not read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pandas as pd

from pancyte.errors import InputError, IntegrityError
from pancyte.store.spool import BARCODES, HASHES, MARKS, TEXT

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from pancyte.store.spool import Spool

ABOUT = "pancyte_part"
BLOCK = 2048


@dataclass(frozen=True)
class Part:
    """A dataset's cells as arrays that may lie on disk.

    Attributes
    ----------
    about
        What a manifest says of it: ``name``, ``cells``, ``species``, ``licence`` …
    offsets, ids, values
        The cells' CSR arrays, ``ids`` being rows of `features`.
    path
        The h5ad, or None in memory.
    obs, var
        The tables of cells and genes in memory, or None where the h5ad has them.
    """

    about: dict[str, Any]
    offsets: np.ndarray
    ids: np.ndarray
    values: np.ndarray
    path: Path | None = None
    obs: pd.DataFrame | None = None
    var: pd.DataFrame | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def name(self) -> str:
        """What the dataset is called in the corpus."""
        return str(self.about["name"])

    def features(self) -> pd.DataFrame:
        """Return the table of genes, sorted by canonical name; see `canonical`."""
        if self.var is not None:
            return self.var
        from anndata.io import read_elem

        with h5py.File(self.path, "r") as handle:
            return read_elem(handle["var"])

    @property
    def columns(self) -> list[str]:
        """The columns of ``obs``."""
        if self.obs is not None:
            return list(map(str, self.obs.columns))
        with h5py.File(self.path, "r") as handle:
            return [str(name) for name in handle["obs"].attrs["column-order"]]

    def column(self, name: str) -> pd.Series:
        """Return one column of ``obs``.

        Raises
        ------
        InputError
            If there is none of that name.
        """
        if name not in self.columns:
            raise InputError(
                f"{self.name} has no column {name!r} in obs.",
                fix=f"Its columns: {', '.join(self.columns) or 'none'}.",
            )
        if self.obs is not None:
            return self.obs[name]
        from anndata.io import read_elem

        with h5py.File(self.path, "r") as handle:
            return pd.Series(read_elem(handle["obs"][name]))

    def names(self) -> pd.Index:
        """Return the names of the cells as their source has them."""
        if self.obs is not None:
            return self.obs.index
        from anndata.io import read_elem

        with h5py.File(self.path, "r") as handle:
            return pd.Index(read_elem(handle["obs"]["_index"]))

    def hashes(self) -> np.ndarray:
        """Return the fingerprint of each cell, (cells,) uint64."""
        return self.column(HASHES).to_numpy(np.uint64)

    def barcodes(self) -> np.ndarray:
        """Return the fingerprint of each cell's barcode, (cells,) uint64."""
        return self.column(BARCODES).to_numpy(np.uint64)


def open_part(path: Path) -> Part:
    """Open a part of a corpus; its counts stay on disk until they are used.

    Raises
    ------
    IntegrityError
        If the file is not such a part, or is damaged.
    """
    from anndata.io import read_elem

    try:
        with h5py.File(path, "r") as handle:
            return Part(
                json.loads(read_elem(handle["uns"][ABOUT])),
                _mapped(path, handle["X/indptr"]),
                _mapped(path, handle["X/indices"]),
                _mapped(path, handle["X/data"]),
                path,
            )
    except (OSError, KeyError, ValueError) as error:
        raise IntegrityError(
            f"{path} is damaged: {error}.",
            fix="Remove it from the corpus and add its source again.",
        ) from None


def write_part(
    path: Path, spool: Spool, features: pd.DataFrame, about: dict[str, Any], keep: np.ndarray
) -> None:
    """Write the cells of a spool as a part: an h5ad with plain arrays of the smallest width.

    Parameters
    ----------
    path
        A new file.
    spool
        The cells.
    features
        The table the spool's ids refer to.
    about
        What the manifest will say.
    keep
        Which cells to write, (cells,) bool.
    """
    from anndata.io import write_elem

    with h5py.File(path, "w") as handle:
        handle.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        write_elem(handle, "var", features)
        write_elem(handle, "uns", {ABOUT: json.dumps(about, sort_keys=True)})
        group = handle.create_group("X")
        group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0"})
        group.attrs["shape"] = np.array([int(keep.sum()), len(features)])
        _write_counts(group, spool, keep, index_type(len(features)))
        _write_obs(handle, spool, keep)


def _write_counts(group: h5py.Group, spool: Spool, keep: np.ndarray, ids: type[np.generic]) -> None:
    """Copy the kept cells' counts block by block: arrays of every cell would grow with them."""
    blocks = [(start, min(start + BLOCK, spool.cells)) for start in range(0, spool.cells, BLOCK)]
    total = sum(int(spool.read("lengths", *block)[keep[slice(*block)]].sum()) for block in blocks)
    kinds = {"ids": ids, "values": value_type(spool)}
    targets = {
        name: group.create_dataset(stored, (total,), kinds[name])
        for name, stored in (("ids", "indices"), ("values", "data"))
    }
    offsets = group.create_dataset("indptr", (int(keep.sum()) + 1,), np.int64)
    offsets[0] = 0
    cells = at = low = 0
    for start, stop in blocks:
        lengths, chosen = spool.read("lengths", start, stop), keep[start:stop]
        high, mask = low + int(lengths.sum()), np.repeat(chosen, lengths)
        ends = at + np.cumsum(lengths[chosen], dtype=np.int64)
        offsets[cells + 1 : cells + 1 + len(ends)] = ends
        there = int(mask.sum())
        for name, target in targets.items():
            target[at : at + there] = spool.read(name, low, high)[mask].astype(kinds[name])
        cells, at, low = cells + len(ends), at + there, high


def index_type(features: int) -> type[np.generic]:
    """Return the narrowest type that can number so many features."""
    return np.uint16 if features <= 1 << 16 else np.uint32


def value_type(spool: Spool) -> type[np.generic]:
    """Return the narrowest type that holds every value exactly."""
    if not spool.whole:
        return np.float32
    for kind in (np.uint8, np.uint16, np.uint32):
        if spool.largest <= np.iinfo(kind).max:
            return kind
    return np.float32


def in_memory(
    counts: csr_matrix, obs: pd.DataFrame, features: pd.DataFrame, about: dict[str, Any]
) -> Part:
    """Make a part of counts in memory, their columns being the rows of `features`."""
    offsets = counts.indptr.astype(np.int64)
    return Part(about, offsets, counts.indices, counts.data, obs=obs, var=features)


def _write_obs(handle: h5py.File, spool: Spool, keep: np.ndarray) -> None:
    from anndata.io import write_elem

    columns = [*spool.columns(), *MARKS]
    obs = handle.create_group("obs")
    obs.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.2.0"})
    obs.attrs.update({"_index": "_index", "column-order": np.array(columns, dtype=TEXT)})
    _copied(obs, "_index", spool, "names", keep, TEXT)
    obs["_index"].attrs.update({"encoding-type": "string-array", "encoding-version": "0.2.0"})
    plain = {"encoding-type": "array", "encoding-version": "0.2.0"}
    for name in columns:
        if name in MARKS:
            _copied(obs, name, spool, name, keep, np.uint64)
            obs[name].attrs.update(plain)
        elif name in spool.levels:
            group = obs.create_group(name)
            group.attrs.update(
                {"encoding-type": "categorical", "encoding-version": "0.2.0", "ordered": False}
            )
            levels = np.array(list(spool.levels[name]), dtype=object)
            write_elem(group, "categories", levels)
            _copied(group, "codes", spool, f"obs/{name}", keep, np.int32)
            group["codes"].attrs.update(plain)
        else:
            _copied(obs, name, spool, f"obs/{name}", keep, np.float64)
            obs[name].attrs.update(plain)


def _copied(
    group: h5py.Group, name: str, spool: Spool, source: str, keep: np.ndarray, kind: Any
) -> None:
    target = group.create_dataset(name, (int(keep.sum()),), kind)
    at = 0
    for start in range(0, spool.cells, BLOCK):
        chosen = spool.read(source, start, start + BLOCK)[keep[start : start + BLOCK]]
        target[at : at + len(chosen)] = chosen
        at += len(chosen)


def _mapped(path: Path, dataset: h5py.Dataset) -> np.ndarray:
    offset = dataset.id.get_offset()
    if offset is None or dataset.chunks is not None:
        return dataset[:]
    # a plain view: every index into a `memmap` would be made one too, in Python
    return np.asarray(np.memmap(path, dataset.dtype, "r", offset, dataset.shape))
