"""What must hold inside an HDF5 file of cells before any library may follow its pointers.

Out-of-range indices and falling row pointers make sparse libraries read memory they do not own,
so they are looked for first, a block at a time.
"""

from __future__ import annotations

from collections.abc import Iterator

import h5py
import numpy as np

from pancyte.errors import InputError, IntegrityError, PancyteError

BLOCK = 1 << 22
SPARSE = {"csr_matrix": 0, "csc_matrix": 1}


def damaged(item: h5py.Group | h5py.Dataset, why: str) -> PancyteError:
    """Make the error for a file whose parts contradict each other."""
    return IntegrityError(
        f"{item.file.filename} is damaged: {item.name.strip('/') or 'its root'} {why}.",
        fix="Copy or download the file again, or write it anew from its source.",
    )


def blocks(dataset: h5py.Dataset) -> Iterator[np.ndarray]:
    """Read a dataset piece by piece, whole chunks at a time."""
    if not dataset.shape:
        yield np.atleast_1d(dataset[()] if dataset.shape == () else [])
        return
    width = max(1, int(np.prod(dataset.shape[1:], dtype=np.int64)))
    chunk = dataset.chunks[0] if dataset.chunks else 1
    step = max(1, BLOCK // width // chunk) * chunk
    for start in range(0, dataset.shape[0], step):
        yield dataset[start : start + step]


def check_h5ad(handle: h5py.File) -> None:
    """Check that the tables and matrices of an h5ad fit together.

    Raises
    ------
    InputError
        If there is no table of cells or genes, or no matrix at all.
    IntegrityError
        If a part contradicts another.
    """
    for table in ("obs", "var"):
        if table not in handle:
            raise InputError(
                f"{handle.filename} is HDF5 but has no table {table!r}.",
                fix="An h5ad, or a 10x h5, is needed.",
            )
    cells, genes = _rows(handle["obs"]), _rows(handle["var"])
    found = []
    for path, shape in _matrices(handle, cells, genes):
        if path in handle:
            check_matrix(handle[path], shape)
            found.append(path)
    if not any(path.startswith(("X", "layers", "raw")) for path in found):
        raise InputError(
            f"{handle.filename} holds no expression matrix, only tables.",
            fix="Write X, or a layer with the counts, into it.",
        )


def _matrices(handle: h5py.File, cells: int, genes: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "X", (cells, genes)
    for folder, shape in (
        ("layers", (cells, genes)),
        ("obsm", (cells,)),
        ("varm", (genes,)),
        ("obsp", (cells, cells)),
        ("varp", (genes, genes)),
    ):
        for name in _group(handle, folder):
            yield f"{folder}/{name}", shape
    # before anndata 0.7, raw was two entries with a dot in their names
    for matrix, table in (("raw/X", "raw/var"), ("raw.X", "raw.var")):
        if matrix in handle and table in handle:
            yield matrix, (cells, _rows(handle[table]))


def _group(handle: h5py.File, name: str) -> list[str]:
    item = handle.get(name)
    return list(item) if isinstance(item, h5py.Group) else []


def _rows(table: h5py.Group | h5py.Dataset) -> int:
    """Return how many rows a table has; every column must have as many."""
    if isinstance(table, h5py.Dataset):
        return table.shape[0]
    index = _text(table.attrs.get("_index", "_index" if "_index" in table else "index"))
    if index not in table:
        raise damaged(table, f"names {index!r} as its index, which is not there")
    rows = len(_values(table[index]))
    for column in map(_text, table.attrs.get("column-order", [])):
        if column not in table:
            raise damaged(table, f"lists a column {column!r} that is not there")
        values = _values(table[column])
        if values.shape[0] != rows:
            raise damaged(table[column], f"has {values.shape[0]:,} values for {rows:,} rows")
        if isinstance(table[column], h5py.Group) and "categories" in table[column]:
            _check_codes(table[column])
    return rows


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _values(column: h5py.Group | h5py.Dataset) -> h5py.Dataset:
    """Find the array behind a column: plain, categorical or nullable."""
    if isinstance(column, h5py.Group):
        part = "codes" if "codes" in column else "values"
        if part not in column:
            raise damaged(column, "is a column without values")
        column = column[part]
    if not column.shape:
        raise damaged(column, "is a single value where a column is needed")
    return column


def _check_codes(column: h5py.Group) -> None:
    levels = len(_values(column["categories"]))
    for codes in blocks(column["codes"]):
        if codes.size and (codes.min() < -1 or codes.max() >= levels):
            raise damaged(column, f"has category codes outside its {levels:,} categories")


def check_matrix(item: h5py.Group | h5py.Dataset, shape: tuple[int, ...]) -> None:
    """Check a dense or sparse matrix against the shape its tables demand."""
    if isinstance(item, h5py.Dataset):
        if item.shape and item.shape[: len(shape)] != shape:
            raise damaged(item, f"is {item.shape} where the tables say {shape}")
        return
    kind = _text(item.attrs.get("encoding-type", item.attrs.get("h5sparse_format", "")))
    kind = {"csr": "csr_matrix", "csc": "csc_matrix"}.get(kind, kind)
    if kind not in SPARSE:
        if kind == "dataframe" and _rows(item) != shape[0]:
            raise damaged(item, f"has {_rows(item):,} rows where {shape[0]:,} are needed")
        return
    declared = item.attrs.get("shape", item.attrs.get("h5sparse_shape"))
    if declared is None or len(declared) != 2:
        raise damaged(item, "is sparse but does not declare its shape")
    declared = tuple(map(int, declared))
    if declared[: len(shape)] != shape:
        raise damaged(item, f"declares {declared} where the tables say {shape}")
    check_sparse(item, major=declared[SPARSE[kind]], minor=declared[1 - SPARSE[kind]])


def check_sparse(group: h5py.Group, *, major: int, minor: int) -> None:
    """Check compressed rows (or columns): pointers never fall, indices stay in range."""
    for part in ("data", "indices", "indptr"):
        if not isinstance(group.get(part), h5py.Dataset) or group[part].ndim != 1:
            raise damaged(group, f"is sparse but has no array {part!r}")
    data, indices, pointers = group["data"], group["indices"], group["indptr"]
    if indices.dtype.kind not in "iu" or pointers.dtype.kind not in "iu":
        raise damaged(group, "has indices that are not whole numbers")
    if len(data) != len(indices):
        raise damaged(group, f"has {len(data):,} values but {len(indices):,} indices")
    if len(pointers) != major + 1:
        raise damaged(pointers, f"has {len(pointers):,} entries where {major + 1:,} are needed")
    offsets = pointers[:].astype(np.int64)
    if offsets[0] != 0 or offsets[-1] != len(data):
        raise damaged(
            pointers, f"runs from {offsets[0]:,} to {offsets[-1]:,}, not to {len(data):,}"
        )
    if (np.diff(offsets) < 0).any():
        raise damaged(pointers, f"falls at entry {int(np.argmax(np.diff(offsets) < 0)) + 1:,}")
    for block in blocks(indices):
        if block.size and (block.min() < 0 or block.max() >= minor):
            worst = block.min() if block.min() < 0 else block.max()
            raise damaged(indices, f"points at {int(worst):,}, outside 0 … {minor - 1:,}")
