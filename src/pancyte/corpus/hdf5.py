"""HDF5: h5ad, 10x h5, h5mu and loom, told apart by what is inside."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

import h5py

from pancyte.corpus import anndata_store, loom, tenx
from pancyte.corpus.budget import gib, implausible, require_memory
from pancyte.corpus.formats import BEGINNING, Checked
from pancyte.corpus.structure import ContradictionError, arrays, blocks, check_anndata, has_matrix
from pancyte.errors import InputError, IntegrityError, PancyteError

if TYPE_CHECKING:
    from anndata import AnnData

ISOLATED = True
SMALLER = "Read some of its cells (anndata.read_h5ad(path, backed='r')) or use more memory."
SIGNATURE = b"\x89HDF\r\n\x1a\n"


def recognises(path: Path, head: bytes) -> bool:
    """Look for HDF5's signature; a block of the user's own may stand before it."""
    return SIGNATURE in head


def check(path: Path, *, streamed: bool = False) -> Checked:
    """Check an HDF5 file's layout, sizes and inner consistency, and read all of it once.

    Parameters
    ----------
    path
        The file.
    streamed
        Cells will be read some at a time: only its genes have to fit in memory.

    Raises
    ------
    InputError
        If it is packed, cut short, of another layout, or links to other files.
    IntegrityError, ContradictionError
        If its parts contradict each other or cannot be read.
    ResourceError
        If it needs more memory than this machine has.
    """
    with path.open("rb") as stream:
        if SIGNATURE not in stream.read(BEGINNING):
            raise InputError(f"{path} is packed HDF5.", fix="Unpack it (gunzip) first.")
    try:
        handle = h5py.File(path, "r")
    except OSError as error:
        raise _unopened(path, str(error)) from None
    with handle:
        _refuse_outside(path, handle)
        found = layout(path, handle)
        store = handle[found.part] if found.part else handle
        items = list(arrays(store))
        _check_sizes(path, items)
        kept = [item for item in items if _kept(item, found.kind, streamed=streamed)]
        require_memory(path, sum(item.nbytes for item in kept), fix=SMALLER)
        if found.kind == "loom":
            loom.check_layout(handle)
        elif found.kind.startswith("10x"):
            tenx.check_layout(handle, found.kind)
        else:
            check_anndata(store)
        for item in items:
            deque(blocks(item), maxlen=0)
    return found


def read(path: Path, checked: Checked) -> AnnData:
    """Read a file that `check` found sound."""
    with anndata_store.read_errors(path):
        if checked.kind.startswith("10x"):
            return tenx.read_h5(path, checked.kind, checked.part)
        if checked.kind == "loom":
            return loom.read_loom(path)
        if checked.part:
            with h5py.File(path, "r") as handle:
                return anndata_store.read_part(handle, checked.part)
        return anndata_store.read_whole(path)


def layout(path: Path, handle: h5py.File) -> Checked:
    """Tell the layouts apart by what is inside rather than by the name.

    Raises
    ------
    InputError
        If it is none of them.
    """
    if "mod" in handle:
        part, notices = anndata_store.modality(path, handle)
        return Checked("h5mu", part, notices)
    if {"obs", "var"} <= set(handle):
        if has_matrix(handle):
            return Checked("h5ad")
        raise InputError(
            f"{path} holds no expression matrix, only tables.",
            fix="Write X, or a layer with the counts, into it.",
        )
    if {"row_attrs", "col_attrs", "matrix"} <= set(handle):
        return Checked("loom")
    if isinstance(handle.get("matrix"), h5py.Group) and "features" in handle["matrix"]:
        return Checked("10x v3")
    if tenx.genomes(handle):
        return Checked("10x v2")
    raise InputError(
        f"{path} is HDF5, but no h5ad, 10x matrix, h5mu or loom; "
        f"it holds {', '.join(list(handle)[:5]) or 'nothing'}.",
        fix="Give one of these.",
    )


def _unopened(path: Path, reason: str) -> PancyteError:
    if "truncated file" in reason:
        size = path.stat().st_size
        return InputError(
            f"{path} is truncated: only its first {size:,} bytes are there.",
            fix="Copy or download the file again.",
        )
    return IntegrityError(f"{path} is damaged: {reason}.", fix="Copy or download the file again.")


def _refuse_outside(path: Path, handle: h5py.File) -> None:
    """Refuse data in other files: reading one file must not open another."""
    outside = handle.visititems_links(
        lambda name, link: name if isinstance(link, h5py.ExternalLink) else None
    )
    # errors must not be raised while HDF5 walks through the file
    kept = handle.visititems(
        lambda name, item: (
            name if isinstance(item, h5py.Dataset) and (item.external or item.is_virtual) else None
        )
    )
    if outside is not None or kept is not None:
        raise InputError(
            f"{path} links to another file at {outside or kept!r}.",
            fix="Copy the linked data into the file.",
        )


def _check_sizes(path: Path, items: list[h5py.Dataset]) -> None:
    """Refuse sizes that the file cannot hold."""
    for item in items:
        if item.shape and implausible(item.nbytes, item.id.get_storage_size()):
            size = path.stat().st_size
            raise ContradictionError(
                item, f"declares {gib(item.nbytes)}, in a file of {size:,} bytes"
            )


def _kept(item: h5py.Dataset, kind: str, *, streamed: bool) -> bool:
    """Say whether an array will be in memory as a whole; a loom's matrices become sparse."""
    if streamed:
        return bool(item.shape) and item.name.startswith(("/var/", "/raw/var/"))
    return bool(item.shape) and not (kind == "loom" and item.ndim == 2)
