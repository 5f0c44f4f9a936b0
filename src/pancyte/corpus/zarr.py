"""AnnData in zarr stores, versions 2 and 3: a folder, or a zip archive of one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py

from pancyte.corpus.probe import HARMLESS, MAX_RATIO, gib, require_memory
from pancyte.corpus.structure import blocks, check_h5ad, damaged
from pancyte.errors import InputError, IntegrityError

if TYPE_CHECKING:
    from anndata import AnnData


class _Source:
    """What `structure` asks of an HDF5 file: its name."""

    def __init__(self, path: Path) -> None:
        self.filename = str(path)


class _Array(h5py.Dataset):
    """A zarr array that answers the questions of `structure` as an HDF5 dataset does."""

    def __init__(self, array: Any, source: _Source) -> None:
        self.array, self._source = array, source

    file = property(lambda self: self._source)
    name = property(lambda self: self.array.name)
    attrs = property(lambda self: self.array.attrs)
    shape = property(lambda self: self.array.shape)
    ndim = property(lambda self: self.array.ndim)
    dtype = property(lambda self: self.array.dtype)
    chunks = property(lambda self: self.array.chunks)

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, where: Any) -> Any:
        return self.array[where]


class _Group(h5py.Group):
    """A zarr group that answers the questions of `structure` as an HDF5 group does."""

    def __init__(self, group: Any, source: _Source) -> None:
        self.group, self._source = group, source

    file = property(lambda self: self._source)
    filename = property(lambda self: self._source.filename)
    name = property(lambda self: self.group.name)
    attrs = property(lambda self: self.group.attrs)

    def __contains__(self, name: str) -> bool:
        return name in self.group

    def __len__(self) -> int:
        return len(list(self.group))

    def __iter__(self) -> Iterator[str]:
        return iter(self.group)

    def __getitem__(self, name: str) -> _Array | _Group:
        item = self.group[name]
        return (_Array if hasattr(item, "shape") else _Group)(item, self._source)

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self else default  # noqa: SIM401


def check(path: Path) -> str:
    """Check a zarr store's sizes and inner consistency, and read all of it once.

    Returns
    -------
    ``"zarr"``.

    Raises
    ------
    InputError
        If it holds no AnnData.
    IntegrityError
        If its parts contradict each other, lack pieces, or cannot be read.
    ResourceError
        If it needs more memory than this machine has.
    """
    store = _Group(_opened(path), _Source(path))
    if not {"obs", "var"} <= set(store):
        raise InputError(
            f"{path} is a zarr store, but not an AnnData; it holds "
            f"{', '.join(list(store)[:5]) or 'nothing'}.",
            fix="Write it with adata.write_zarr(…); for SpatialData, give the folder of one table.",
        )
    arrays = list(_arrays(store))
    for item in arrays:
        _check_sizes(item)
    require_memory(
        path,
        sum(item.array.nbytes for item in arrays),
        fix="Write fewer cells, or use more memory.",
    )
    for item in arrays:
        _check_pieces(item)
    check_h5ad(store)
    for item in arrays:
        deque(blocks(item), maxlen=0)
    return "zarr"


def read_store(path: Path) -> AnnData:
    """Read a store that `check` found sound."""
    import anndata

    return anndata.read_zarr(_opened(path))


def _opened(path: Path) -> Any:
    import zarr

    store = zarr.storage.ZipStore(path, mode="r") if path.is_file() else path
    try:
        return zarr.open_group(store, mode="r")
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise IntegrityError(
            f"{path} is damaged: its zarr metadata cannot be read ({error}).",
            fix="Copy or download the whole folder again.",
        ) from None


def _arrays(group: _Group) -> Iterator[_Array]:
    for name in group:
        item = group[name]
        if isinstance(item, _Array):
            yield item
        else:
            yield from _arrays(item)


def _check_sizes(item: _Array) -> None:
    """Refuse declared sizes that the stored bytes cannot hold."""
    array = item.array
    if array.nbytes > max(HARMLESS, MAX_RATIO * array.nbytes_stored()):
        raise damaged(item, f"declares {gib(array.nbytes)}, but stores far less")
    piece = array.dtype.itemsize
    for length in array.chunks:
        piece *= length
    if piece > max(HARMLESS, array.nbytes):
        raise damaged(item, f"declares chunks of {gib(piece)} for {gib(array.nbytes)} of data")


def _check_pieces(item: _Array) -> None:
    """Refuse a sparse matrix without some of its files: zarr would read zeros in their place."""
    array = item.array
    if array.name.rsplit("/", 1)[-1] != "data" or array.ndim != 1:
        return
    lacking = array.nchunks - array.nchunks_initialized
    if lacking > 0:
        raise damaged(item, f"lacks {lacking:,} of its {array.nchunks:,} pieces")
