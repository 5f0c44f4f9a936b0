"""Zarr stores, versions 2 and 3, in a folder or zip: AnnData, MuData, tables of SpatialData."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pancyte.corpus import anndata_store
from pancyte.corpus.budget import HARMLESS, gib, implausible, require_memory
from pancyte.corpus.formats import Checked
from pancyte.corpus.structure import (
    ContradictionError,
    arrays,
    blocks,
    check_anndata,
    has_matrix,
    index_of,
    is_array,
)
from pancyte.errors import InputError, IntegrityError

if TYPE_CHECKING:
    from anndata import AnnData

ISOLATED = True
ROOTS = ("zarr.json", ".zgroup", ".zmetadata")
FIX = "Copy or download the whole folder again."


def recognises(path: Path, head: bytes) -> bool:
    """Look for the entry at a store's root, in a folder or a zip archive."""
    if path.is_dir():
        return any((path / name).is_file() for name in ROOTS)
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name in ROOTS for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def check(path: Path) -> Checked:
    """Check a store's sizes and inner consistency, and read once all that is to be used.

    Raises
    ------
    InputError
        If it holds no AnnData, or several.
    IntegrityError, ContradictionError
        If its parts contradict each other, lack pieces, or cannot be read.
    ResourceError
        If it needs more memory than this machine has.
    """
    if path.is_file():
        _check_archive(path)
    root = _opened(path)
    part, notices = _part(path, root)
    store = root[part] if part else root
    if not has_matrix(store):
        raise InputError(
            f"{path} holds no expression matrix, only tables.",
            fix="Write X, or a layer with the counts, into it.",
        )
    items = list(arrays(store))
    for item in items:
        _check_sizes(item)
    require_memory(path, sum(item.nbytes for item in items), fix="Use more memory.")
    lacking = {item.name: number for item in items if (number := _lacking(item))}
    _refuse_lacking(store, lacking)
    check_anndata(store)
    for item in items:
        _look_through(item, check_rows=item.name in lacking and _is_expression(item))
    return Checked("zarr", part, (*notices, *_told(items, lacking)))


def read(path: Path, checked: Checked) -> AnnData:
    """Read a store that `check` found sound."""
    import anndata

    with anndata_store.read_errors(path):
        root = _opened(path)
        if checked.part:
            return anndata_store.read_part(root, checked.part)
        return anndata.read_zarr(root)


def _check_archive(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    for entry in entries:
        if implausible(entry.file_size, entry.compress_size):
            raise IntegrityError(
                f"{path} is damaged: its entry {entry.filename} declares {gib(entry.file_size)}.",
                fix=FIX,
            )
    require_memory(path, sum(entry.file_size for entry in entries), fix="Use more memory.")


def _opened(path: Path) -> Any:
    import zarr

    store = zarr.storage.ZipStore(path, mode="r") if path.is_file() else path
    try:
        return zarr.open_group(store, mode="r")
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise IntegrityError(
            f"{path} is damaged: its zarr metadata cannot be read ({error}).", fix=FIX
        ) from None


def _part(path: Path, root: Any) -> tuple[str, tuple[str, ...]]:
    """Find the AnnData in a store: the store itself, a modality, or a table of SpatialData.

    Raises
    ------
    InputError
        If there is none, or several tables.
    """
    if {"obs", "var"} <= set(root) and "mod" not in root:
        return "", ()
    if "mod" in root:
        return anndata_store.modality(path, root)
    folder = next((name for name in ("tables", "table") if name in root), None)
    tables = list(root[folder]) if folder else []
    if len(tables) == 1:
        others = [name for name in root if name != folder]
        told = f"Took the table {tables[0]} of SpatialData; left out {', '.join(others)}."
        return f"{folder}/{tables[0]}", (told,) if others else ()
    if tables:
        raise InputError(
            f"{path} is SpatialData with {len(tables)} tables: {', '.join(tables)}.",
            fix=f"Give the one to read: {path}/{folder}/{tables[0]}.",
        )
    raise InputError(
        f"{path} is a zarr store, but neither AnnData, MuData nor SpatialData with a table; it "
        f"holds {', '.join(list(root)[:5]) or 'nothing'}.",
        fix="Write it with adata.write_zarr(…).",
    )


def _check_sizes(item: Any) -> None:
    """Refuse sizes that the stored bytes cannot hold."""
    size = item.nbytes
    if len(item.shape) > 1:
        # of a dense matrix, pieces that hold only zeros need not be stored
        size = size * item.nchunks_initialized // max(1, item.nchunks)
    if implausible(size, item.nbytes_stored()):
        raise ContradictionError(item, f"declares {gib(item.nbytes)}, but stores far less")
    piece = item.dtype.itemsize * int(np.prod(item.chunks, dtype=object))
    if piece > max(HARMLESS, item.nbytes):
        raise ContradictionError(
            item, f"declares chunks of {gib(piece)} for {gib(item.nbytes)} of data"
        )


def _lacking(item: Any) -> int:
    return item.nchunks - item.nchunks_initialized


def _refuse_lacking(store: Any, lacking: dict[str, int]) -> None:
    """Refuse stores without pieces that can never have been left out as zeros.

    A piece that is not there reads as zeros, and a writer may leave out pieces of zeros (zarr 3
    does). But the values of a sparse matrix are not zero, the indices of a whole piece are not all
    0, and names are not empty: without these, part of the store was lost on the way.
    """
    for table in ("obs", "var"):
        names = store[table] if is_array(store[table]) else index_of(store[table])
        _refuse(names, lacking)
    for folder in (store, *(store[name] for name in ("layers", "raw") if name in store)):
        for name in folder:
            matrix = folder[name]
            if not is_array(matrix) and "indptr" in matrix and matrix["data"].shape[0]:
                for part in ("data", "indices", "indptr"):
                    _refuse(matrix[part], lacking)


def _refuse(item: Any, lacking: dict[str, int]) -> None:
    if item.name in lacking and item.nchunks > 1:
        raise ContradictionError(
            item,
            f"lacks {lacking[item.name]:,} of its {item.nchunks:,} pieces: the copy is partial",
        )


def _is_expression(item: Any) -> bool:
    return len(item.shape) == 2 and item.name.strip("/").split("/")[-1] == "X"


def _look_through(item: Any, *, check_rows: bool) -> None:
    """Read an array once; cells whose pieces are all missing cannot have been measured."""
    seen = 0
    for block in blocks(item):
        if check_rows:
            for start in range(0, len(block), item.chunks[0]):
                rows = block[start : start + item.chunks[0]]
                if not rows.any():
                    first = seen + start
                    raise ContradictionError(
                        item, f"lacks all pieces of rows {first:,} to {first + len(rows) - 1:,}"
                    )
        seen += len(block)


def _told(items: list[Any], lacking: dict[str, int]) -> list[str]:
    return [
        f"{item.name.strip('/')} lacks {lacking[item.name]:,} of its {item.nchunks:,} pieces, "
        "which were read as zeros: right if it was written without empty pieces, as zarr 3 does."
        for item in items
        if item.name in lacking and item.nchunks > 1 and len(item.shape) == 2
    ]
