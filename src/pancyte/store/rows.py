"""The cells of a file a slab at a time, so that a file larger than memory can be taken in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pandas as pd

from pancyte import registry
from pancyte.corpus.budget import require_memory
from pancyte.corpus.canonical import species_among
from pancyte.corpus.cells import to_cells
from pancyte.corpus.counts import canonical, locate, require_counts
from pancyte.corpus.datasets import load_dataset
from pancyte.corpus.read import GENES, probed, read
from pancyte.corpus.values import recognise
from pancyte.errors import InputError
from pancyte.shapes import Cells

if TYPE_CHECKING:
    from anndata import AnnData

SLAB = 1024


@dataclass(frozen=True)
class Rows:
    """Cells that are not all in memory.

    Attributes
    ----------
    name
        What to call them.
    features
        As in `Cells`.
    species
        What the genes, or else a declaration, say.
    slabs
        Gives the cells in their order, some at a time; of a streamed file without ``context``.
    """

    name: str
    features: pd.DataFrame
    species: str
    slabs: Callable[[], Iterator[Cells]]


def rows_of(
    source: str | Path | Cells,
    *,
    layer: str | None = None,
    transpose: bool = False,
    genome: str | None = None,
) -> Rows:
    """Open a file, a registered dataset or cells in memory, to be gone through once or often.

    An h5ad whose counts are stored by cell (CSR or dense) is streamed; any other file is read
    as a whole first.

    Parameters
    ----------
    source
        A path, a dataset's name, or cells.
    layer
        Where the counts are; found and verified if not given.
    transpose, genome
        As in `pancyte.read`; with either the file is read as a whole.

    Raises
    ------
    PancyteError
        Whatever `pancyte.read` raises; `InputError` if there are no raw counts.
    """
    if isinstance(source, Cells):
        return _in_memory(source)
    path = Path(source)
    if str(source) in registry.names("datasets") and not path.exists():
        return _in_memory(to_cells(load_dataset(str(source)), layer=layer, name=str(source)))
    plain = path.is_file() and not transpose and genome is None
    if plain and h5py.is_hdf5(path) and probed(path, streamed=True) == "h5ad":
        streamed = _streamed(path, layer)
        if streamed is not None:
            return streamed
    adata = read(path, transpose=transpose, genome=genome, quiet=True)
    return _in_memory(to_cells(adata, layer=layer, name=name_of(path)))


def name_of(path: Path) -> str:
    """Call a file by its name without the endings that say its format."""
    name = path.name
    for ending in (
        ".gz",
        ".zip",
        ".h5ad",
        ".h5",
        ".h5mu",
        ".zarr",
        ".csv",
        ".tsv",
        ".txt",
        ".loom",
    ):
        name = name.removesuffix(ending)
    return name


def _in_memory(cells: Cells) -> Rows:
    def slabs() -> Iterator[Cells]:
        for start in range(0, len(cells), SLAB):
            yield cells.select(np.arange(start, min(start + SLAB, len(cells))))

    return Rows(
        cells.name,
        cells.features,
        species_among(cells),
        slabs,
    )


def _streamed(path: Path, layer: str | None) -> Rows | None:
    """Open an h5ad for streaming; None if its counts are not stored by cell."""
    with h5py.File(path, "r") as handle:
        items = _items(handle)
        if not all(map(_by_cell, items.values())):
            return None
        total = _length(handle["obs"])
        if not total:
            raise InputError(f"{path} has no cells.", fix="Give one that has.")
        head = _head(handle, items, min(SLAB, total))
    located = locate(head, layer=layer)
    place = require_counts(head, located)
    kept = _genes(head.raw.var if place == "raw" else head.var)
    cells = to_cells(_only(head, place, kept), name=name_of(path))
    pattern = replace(cells, context=pd.DataFrame())
    slabs = partial(_slabs, path, place, located.values.kind, kept, pattern)
    return Rows(cells.name, cells.features, species_among(cells), slabs)


def _slabs(path: Path, place: str, kind: str, kept: np.ndarray, pattern: Cells) -> Iterator[Cells]:
    with h5py.File(path, "r") as handle:
        matrix = _items(handle)[place]
        for start in range(0, _length(handle["obs"]), SLAB):
            obs = _table(handle["obs"], start, start + SLAB)
            counts = _slab(matrix, start, start + SLAB)
            found = recognise(counts)
            if found.kind not in (kind, "empty"):
                raise InputError(
                    f"{path} has {kind} in {place} for its first cells, but from cell {start:,} on "
                    f"it holds {found.words}.",
                    fix="Write all cells' raw counts into one matrix.",
                )
            counts = canonical(counts)
            yield replace(pattern, counts=counts if kept.all() else counts[:, kept], obs=obs)


def _items(handle: h5py.File) -> dict[str, Any]:
    """List the matrices of an h5ad, by the names that `locate` gives them."""
    found: dict[str, Any] = {"X": handle["X"]} if "X" in handle else {}
    if "layers" in handle:
        found |= {f"layers[{name!r}]": item for name, item in handle["layers"].items()}
    if "raw" in handle and "X" in handle["raw"]:
        found["raw"] = handle["raw"]["X"]
    return found


def _by_cell(item: Any) -> bool:
    if isinstance(item, h5py.Dataset):
        return item.ndim == 2
    return str(item.attrs.get("encoding-type", "")) == "csr_matrix"


def _slab(item: Any, start: int, stop: int) -> Any:
    """Read some rows of a matrix, and of its row pointers only theirs."""
    from scipy.sparse import csr_matrix

    place = f"{item.file.filename}, cells {start:,} to {stop:,},"
    fix = "Use more memory, or a file with fewer counts a cell."
    if isinstance(item, h5py.Dataset):
        rows = min(stop, item.shape[0]) - start
        require_memory(place, rows * item.shape[1] * item.dtype.itemsize, fix=fix)
        return item[start:stop]
    offsets = item["indptr"][start : stop + 1].astype(np.int64)
    stored = slice(offsets[0], offsets[-1])
    size = item["data"].dtype.itemsize + item["indices"].dtype.itemsize
    require_memory(place, int(offsets[-1] - offsets[0]) * size, fix=fix)
    return csr_matrix(
        (item["data"][stored], item["indices"][stored], offsets - offsets[0]),
        shape=(len(offsets) - 1, int(item.attrs["shape"][1])),
    )


def _head(handle: h5py.File, items: dict[str, Any], cells: int) -> AnnData:
    from anndata import AnnData
    from anndata.io import read_elem

    slabs = {place: _slab(item, 0, cells) for place, item in items.items()}
    raw = {"X": slabs["raw"], "var": read_elem(handle["raw"]["var"])} if "raw" in slabs else None
    return AnnData(
        slabs.get("X"),
        obs=_table(handle["obs"], 0, cells),
        var=read_elem(handle["var"]),
        layers={name: slabs[f"layers[{name!r}]"] for name in handle.get("layers", ())},
        raw=raw,
    )


def _genes(features: pd.DataFrame) -> np.ndarray:
    """Mark what is gene expression where proteins or peaks stand beside it."""
    if "feature_types" not in features or GENES not in set(features["feature_types"]):
        return np.ones(len(features), bool)
    return (features["feature_types"] == GENES).to_numpy()


def _only(head: AnnData, place: str, kept: np.ndarray) -> AnnData:
    from anndata import AnnData

    from pancyte.corpus.counts import matrix_at

    var = head.raw.var if place == "raw" else head.var
    return AnnData(matrix_at(head, place)[:, kept], obs=head.obs, var=var[kept])


def _length(table: h5py.Group) -> int:
    return len(table[str(table.attrs["_index"])])


def _table(table: h5py.Group, start: int, stop: int) -> pd.DataFrame:
    """Read some rows of a table; columns of an encoding other than AnnData's usual are left out."""
    columns = {
        name: values
        for name in map(str, table.attrs.get("column-order", []))
        if (values := _values(table[name], start, stop)) is not None
    }
    index = _values(table[str(table.attrs["_index"])], start, stop)
    return pd.DataFrame(columns, index=pd.Index(index).astype(str))


def _values(column: Any, start: int, stop: int) -> Any:
    from anndata.io import read_elem

    if isinstance(column, h5py.Dataset):
        values = column[start:stop]
        return _decoded(values) if values.dtype.kind in "OS" else values
    if "codes" in column:
        levels = read_elem(column["categories"])
        return pd.Categorical.from_codes(column["codes"][start:stop], levels)
    if "values" in column and "mask" in column:
        values = pd.Series(column["values"][start:stop]).astype(object)
        return values.mask(column["mask"][start:stop]).to_numpy()
    return None


def _decoded(values: np.ndarray) -> np.ndarray:
    return np.array(
        [value.decode() if isinstance(value, bytes) else value for value in values], dtype=object
    )
