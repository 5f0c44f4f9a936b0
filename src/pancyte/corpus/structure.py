"""What must hold inside a store of cells, HDF5 or zarr, before a library may follow its pointers.

Out-of-range indices and falling row pointers make sparse libraries read memory they do not own,
so they are looked for first, a block at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

# bytes read at a time; a text of no fixed length takes about TEXT bytes in memory
BLOCK = 1 << 25
TEXT = 128
SPARSE = {"csr_matrix": 0, "csc_matrix": 1}


class Array(Protocol):
    """What is asked of an array, be it of h5py or of zarr."""

    name: Any
    attrs: Any
    shape: tuple[int, ...]
    dtype: Any
    chunks: Any

    def __getitem__(self, where: Any) -> Any:
        """Read a part of it."""


class Group(Protocol):
    """What is asked of a group, be it of h5py or of zarr."""

    name: Any
    attrs: Any

    def __contains__(self, name: Any) -> bool: ...

    def __iter__(self) -> Iterator[str]: ...

    def __getitem__(self, name: str) -> Any: ...

    def get(self, name: str) -> Any:
        """Return a part of it, None if it is not there."""


class ContradictionError(Exception):
    """Parts of a file say different things: the message names them."""

    def __init__(self, item: Any, why: str) -> None:
        super().__init__(f"{item.name.strip('/') or 'its root'} {why}")


def is_array(item: Any) -> bool:
    """Tell an array from a group."""
    return hasattr(item, "shape")


def arrays(group: Group) -> Iterator[Any]:
    """Go through all arrays below a group."""
    for name in group:
        item = group[name]
        if is_array(item):
            yield item
        else:
            yield from arrays(item)


def length(array: Array) -> int:
    """Return how many rows an array has."""
    if not array.shape:
        raise ContradictionError(array, "is a single value where a column is needed")
    return int(array.shape[0])


def blocks(array: Array) -> Iterator[np.ndarray]:
    """Read an array piece by piece, whole chunks at a time."""
    if not array.shape:
        yield np.atleast_1d(array[()] if array.shape == () else [])
        return
    width = max(1, int(np.prod(array.shape[1:], dtype=np.int64)))
    chunk = array.chunks[0] if array.chunks else 1
    size = TEXT if array.dtype.kind in "OT" else max(1, array.dtype.itemsize)
    step = max(1, BLOCK // (width * size) // chunk) * chunk
    for start in range(0, array.shape[0], step):
        yield array[start : start + step]


def check_anndata(store: Group) -> None:
    """Check that the tables and matrices of an AnnData, as stored, fit together.

    Raises
    ------
    ContradictionError
        If a part contradicts another, or there is no matrix at all.
    """
    for table in ("obs", "var"):
        if table not in store:
            raise ContradictionError(store, f"has no table {table!r}")
    cells, genes = _rows(store["obs"]), _rows(store["var"])
    for path, shape in _matrices(store, cells, genes):
        if path in store:
            check_matrix(store[path], shape)


def has_matrix(store: Group) -> bool:
    """Say whether an AnnData, as stored, has X, a layer or raw."""
    return any(part in store for part in ("X", "raw", "raw.X")) or bool(_names(store, "layers"))


def _matrices(store: Group, cells: int, genes: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "X", (cells, genes)
    for folder, shape in (
        ("layers", (cells, genes)),
        ("obsm", (cells,)),
        ("varm", (genes,)),
        ("obsp", (cells, cells)),
        ("varp", (genes, genes)),
    ):
        for name in _names(store, folder):
            yield f"{folder}/{name}", shape
    # before anndata 0.7, raw was two entries with a dot in their names
    for matrix, table in (("raw/X", "raw/var"), ("raw.X", "raw.var")):
        if matrix in store and table in store:
            yield matrix, (cells, _rows(store[table]))


def _names(store: Group, name: str) -> list[str]:
    item = store.get(name)
    return [] if item is None or is_array(item) else list(item)


def index_of(table: Group) -> Any:
    """Find the array with the names of a table's rows."""
    name = _text(table.attrs.get("_index", "_index" if "_index" in table else "index"))
    if name not in table:
        raise ContradictionError(table, f"names {name!r} as its index, which is not there")
    return values_of(table[name])


def _rows(table: Any) -> int:
    """Return how many rows a table has; every column must have as many."""
    if is_array(table):
        return length(table)
    rows = length(index_of(table))
    for column in map(_text, table.attrs.get("column-order", [])):
        if column not in table:
            raise ContradictionError(table, f"lists a column {column!r} that is not there")
        item = table[column]
        if (found := length(values_of(item))) != rows:
            raise ContradictionError(item, f"has {found:,} values for {rows:,} rows")
        if not is_array(item):
            _check_parts(item, rows)
    return rows


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def values_of(column: Any) -> Any:
    """Find the array behind a column: plain, categorical or nullable."""
    if is_array(column):
        return column
    for part in ("codes", "values"):
        if part in column:
            return column[part]
    raise ContradictionError(column, "is a column without values")


def _check_parts(column: Group, rows: int) -> None:
    """Check the codes of a categorical column, or the mask of a nullable one."""
    if "mask" in column and length(column["mask"]) != rows:
        raise ContradictionError(
            column, f"marks {length(column['mask']):,} of {rows:,} rows as missing"
        )
    if "categories" not in column:
        return
    levels = length(values_of(column["categories"]))
    for codes in blocks(column["codes"]):
        if codes.size and (codes.min() < -1 or codes.max() >= levels):
            raise ContradictionError(
                column, f"has category codes outside its {levels:,} categories"
            )


def check_matrix(item: Any, shape: tuple[int, ...]) -> None:
    """Check a dense or sparse matrix, a table or a ragged array against the shape needed."""
    if is_array(item):
        if item.shape and item.shape[: len(shape)] != shape:
            raise ContradictionError(item, f"is {item.shape} where the tables say {shape}")
        return
    kind = _text(item.attrs.get("encoding-type", item.attrs.get("h5sparse_format", "")))
    kind = {"csr": "csr_matrix", "csc": "csc_matrix"}.get(kind, kind)
    if kind not in SPARSE:
        rows = _rows(item) if kind == "dataframe" else int(item.attrs.get("length", shape[0]))
        if rows != shape[0]:
            raise ContradictionError(item, f"has {rows:,} rows where {shape[0]:,} are needed")
        return
    declared = item.attrs.get("shape", item.attrs.get("h5sparse_shape"))
    if declared is None or len(declared) != 2:
        raise ContradictionError(item, "is sparse but does not declare its shape")
    declared = tuple(map(int, declared))
    if declared[: len(shape)] != shape:
        raise ContradictionError(item, f"declares {declared} where the tables say {shape}")
    check_sparse(item, major=declared[SPARSE[kind]], minor=declared[1 - SPARSE[kind]])


def check_sparse(group: Group, *, major: int, minor: int) -> None:
    """Check compressed rows (or columns): pointers never fall, indices stay in range."""
    for part in ("data", "indices", "indptr"):
        if part not in group or not is_array(group[part]) or len(group[part].shape) != 1:
            raise ContradictionError(group, f"is sparse but has no array {part!r}")
    data, indices, pointers = (group[part] for part in ("data", "indices", "indptr"))
    if indices.dtype.kind not in "iu" or pointers.dtype.kind not in "iu":
        raise ContradictionError(group, "has indices that are not whole numbers")
    if data.dtype.kind not in "iufb":
        raise ContradictionError(data, f"holds {data.dtype}, not numbers")
    stored = length(data)
    if stored != length(indices):
        raise ContradictionError(group, f"has {stored:,} values but {length(indices):,} indices")
    if length(pointers) != major + 1:
        raise ContradictionError(
            pointers, f"has {length(pointers):,} entries where {major + 1:,} are needed"
        )
    _check_pointers(pointers, stored)
    for block in blocks(indices):
        if block.size and (block.min() < 0 or block.max() >= minor):
            worst = block.min() if block.min() < 0 else block.max()
            raise ContradictionError(
                indices, f"points at {int(worst):,}, outside 0 … {minor - 1:,}"
            )


def _check_pointers(pointers: Array, stored: int) -> None:
    """Check that row pointers run from 0 to `stored` and never fall."""
    first, last = int(pointers[0]), int(pointers[-1])
    if first != 0 or last != stored:
        raise ContradictionError(pointers, f"runs from {first:,} to {last:,}, not to {stored:,}")
    seen, before = 0, 0
    for block in blocks(pointers):
        offsets = np.concatenate([[before], block.astype(np.int64)])
        falls = np.diff(offsets) < 0
        if falls.any():
            raise ContradictionError(pointers, f"falls at entry {seen + int(np.argmax(falls)):,}")
        seen, before = seen + len(block), offsets[-1]
