"""Look into an HDF5 file before it is trusted, in a process whose crash harms nobody.

``python -m pancyte.corpus.probe FILE`` prints one JSON object: ``{"kind": …}``, or the name of
an error with what is wrong and how to fix it. It needs h5py and numpy only.
"""

from __future__ import annotations

import json
import os
import sys
import zipfile
from collections import deque
from pathlib import Path

import h5py

from pancyte.corpus.structure import blocks, check_h5ad, check_sparse, damaged
from pancyte.errors import InputError, IntegrityError, PancyteError, ResourceError

SIGNATURE = b"\x89HDF\r\n\x1a\n"
ZARR_ROOTS = ("zarr.json", ".zgroup", ".zmetadata")
# deflate, HDF5's usual filter, cannot pack more than 1,032 bytes into one
MAX_RATIO = 2000
HARMLESS = 64 << 20
LOOKALIKES = (
    (b"\x1f\x8b", "gzip data", "Unpack it (gunzip) first."),
    (b"PK\x03\x04", "a zip archive", "Unpack it first."),
    (b"%%MatrixMarket", "a Matrix Market file", "Give the 10x folder it is in."),
    (b"\x80", "perhaps a Python pickle", "Write it as h5ad where it was made."),
    (b"{", "JSON text", "Download the data file itself."),
)


def check(path: Path) -> str:
    """Check a file's type, sizes and inner consistency, and read all of it once.

    Returns
    -------
    ``"h5ad"``, ``"10x v2"``, ``"10x v3"`` or ``"zarr"``.

    Raises
    ------
    InputError
        If it is another kind of file, or cut short.
    IntegrityError
        If its parts contradict each other or cannot be read.
    ResourceError
        If it needs more memory than this machine has.
    """
    if is_zarr(path):
        from pancyte.corpus import zarr

        return zarr.check(path)
    require_hdf5(path)
    try:
        handle = h5py.File(path, "r")
    except OSError as error:
        raise _unopened(path, str(error)) from None
    with handle:
        _refuse_outside(handle)
        _check_budget(handle, path.stat().st_size)
        kind = layout(handle)
        if kind == "h5ad":
            check_h5ad(handle)
        else:
            _check_tenx(handle, kind)
        for item in _arrays(handle):
            deque(blocks(item), maxlen=0)
    return kind


def is_zarr(path: Path) -> bool:
    """Tell a zarr store, a folder or a zip archive of one, by the entry at its root."""
    if path.is_dir():
        return any((path / name).is_file() for name in ZARR_ROOTS)
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name in ZARR_ROOTS for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def require_hdf5(path: Path) -> None:
    """Check for HDF5's signature; say what the file is instead."""
    with path.open("rb") as stream:
        head = stream.read(4096)
        # HDF5 allows a block of the user's own before the signature, of 512 · 2ⁿ bytes
        if head.startswith(SIGNATURE) or (SIGNATURE in head and h5py.is_hdf5(path)):
            return
    if not head:
        raise InputError(f"{path} is an empty file.", fix="Copy or download it again.")
    refuse_page(path, head, wanted="HDF5")
    for magic, what, fix in LOOKALIKES:
        if head.startswith(magic):
            raise InputError(f"{path} is {what}, not HDF5.", fix=fix)
    raise InputError(
        f"{path} is not an HDF5 file; it begins with {head[:16]!r}.",
        fix="Give an h5ad, a 10x h5 or a 10x folder.",
    )


def refuse_page(path: Path, head: bytes, *, wanted: str) -> None:
    """Refuse a web page that was saved in place of a file."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html")) or b"<html" in start[:512]:
        raise InputError(
            f"{path} is an HTML page, not {wanted}: a download was answered with a web page.",
            fix="Download the data file itself; a login or a wrong link is the usual cause.",
        )


def _unopened(path: Path, reason: str) -> PancyteError:
    if "truncated file" in reason:
        size = path.stat().st_size
        return InputError(
            f"{path} is truncated: only its first {size:,} bytes are there.",
            fix="Copy or download the file again.",
        )
    return IntegrityError(f"{path} is damaged: {reason}.", fix="Copy or download the file again.")


def _refuse_outside(handle: h5py.File) -> None:
    """Refuse links into other files: reading one file must not open another."""
    outside = handle.visititems_links(
        lambda name, link: name if isinstance(link, h5py.ExternalLink) else None
    )
    if outside is not None:
        raise InputError(
            f"{handle.filename} links to another file at {outside!r}.",
            fix="Copy the linked data into the file.",
        )


def _arrays(handle: h5py.File) -> list[h5py.Dataset]:
    """List all arrays; errors must not be raised while HDF5 walks through the file."""
    found: list[h5py.Dataset] = []
    handle.visititems(
        lambda name, item: found.append(item) if isinstance(item, h5py.Dataset) else None
    )
    return found


def _check_budget(handle: h5py.File, size: int) -> None:
    """Refuse sizes that the file cannot hold, or this machine cannot."""
    arrays = [item for item in _arrays(handle) if item.shape]
    for item in arrays:
        if item.external or item.is_virtual:
            raise InputError(
                f"{handle.filename} keeps {item.name!r} in another file.",
                fix="Write it into one file.",
            )
        if item.nbytes > max(HARMLESS, MAX_RATIO * item.id.get_storage_size()):
            raise damaged(item, f"declares {gib(item.nbytes)}, in a file of {size:,} bytes")
    require_memory(
        handle.filename,
        sum(item.nbytes for item in arrays),
        fix="Read some of its cells (anndata.read_h5ad(path, backed='r')) or use more memory.",
    )


def require_memory(path: Path | str, size: int, *, fix: str) -> None:
    """Refuse a file whose `size` in bytes, once unpacked, exceeds this machine's memory."""
    memory = _memory()
    if memory is not None and size > memory:
        raise ResourceError(
            f"{path} unpacks to {gib(size)}; this machine has {gib(memory)}.", fix=fix
        )


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def gib(size: int) -> str:
    """Write a size in bytes for people."""
    return f"{size / 2**30:,.1f} GiB"


def layout(handle: h5py.File) -> str:
    """Tell an h5ad from the two 10x layouts, by what is inside rather than by the name."""
    if "obs" in handle or "var" in handle:
        return "h5ad"
    if isinstance(handle.get("matrix"), h5py.Group) and "features" in handle["matrix"]:
        return "10x v3"
    if genomes(handle):
        return "10x v2"
    others = {
        "mod": ("a MuData file", "Save one modality: mudata.read(path).mod['rna'].write_h5ad(…)."),
        "row_attrs": ("a loom file", "Convert it: anndata.io.read_loom(path).write_h5ad(…)."),
    }
    for name, (what, fix) in others.items():
        if name in handle:
            raise InputError(f"{handle.filename} is {what}, which is not read yet.", fix=fix)
    raise InputError(
        f"{handle.filename} is HDF5, but neither an h5ad nor a 10x matrix; "
        f"it holds {', '.join(list(handle)[:5]) or 'nothing'}.",
        fix="Give an h5ad, a 10x h5 or a 10x folder.",
    )


def genomes(handle: h5py.File) -> list[str]:
    """List the groups of a version 2 10x file, one per reference genome."""
    return [
        name
        for name, item in handle.items()
        if isinstance(item, h5py.Group) and {"genes", "barcodes", "indptr"} <= set(item)
    ]


def _check_tenx(handle: h5py.File, kind: str) -> None:
    for name in ["matrix"] if kind == "10x v3" else genomes(handle):
        group = handle[name]
        genes, cells = map(int, group["shape"][:])
        check_sparse(group, major=cells, minor=genes)
        names = ("genes", "gene_names") if kind == "10x v2" else ("features/id", "features/name")
        for part, length in ((names[0], genes), (names[1], genes), ("barcodes", cells)):
            if len(group[part]) != length:
                raise damaged(group[part], f"has {len(group[part]):,} entries, not {length:,}")


def report(path: Path) -> dict[str, str]:
    """Return what `check` found, errors included, as plain text fields."""
    try:
        return {"kind": check(path)}
    except PancyteError as error:
        return {"error": type(error).__name__, "what": error.what, "fix": error.fix}
    except MemoryError:
        return {"error": "ResourceError", "what": f"{path} does not fit in memory.", "fix": ""}
    except Exception as error:
        # whatever else a library says about bytes nobody vouches for
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return {
            "error": "IntegrityError",
            "what": f"{path} is damaged: {reason.rstrip('.')}.",
            "fix": "Copy or download the file again.",
        }


if __name__ == "__main__":
    print(json.dumps(report(Path(sys.argv[1]))))
