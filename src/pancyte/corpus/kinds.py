"""What a file is, told by its first bytes rather than by its name."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path
from typing import Literal

from pancyte.corpus.probe import LOOKALIKES, is_zarr, refuse_page
from pancyte.errors import InputError

Kind = Literal["folder", "hdf5", "parquet", "table", "zarr"]

PARQUET = b"PAR1"
GZIP = b"\x1f\x8b"
ZIP = b"PK\x03\x04"
# the compound files of Excel 97
OLE = b"\xd0\xcf\x11\xe0"
UTF16 = (b"\xff\xfe", b"\xfe\xff")
_BINARY = bytes({*range(32)} - {*b"\t\n\x0b\x0c\r"})


def kind_of(path: Path) -> Kind:
    """Tell which family of formats a file or folder belongs to.

    Returns
    -------
    ``"hdf5"`` also for what is none of the others: its probe says what is wrong with it.

    Raises
    ------
    InputError
        If it is an Excel workbook, or an HTML page where a table was named.
    """
    if path.is_dir():
        return "zarr" if is_zarr(path) else "folder"
    if path.name.endswith(("matrix.mtx", "matrix.mtx.gz")):
        return "folder"
    with path.open("rb") as stream:
        head = stream.read(4096)
    if head.startswith(PARQUET):
        return "parquet"
    if head.startswith((ZIP, OLE)):
        if _is_workbook(path, head):
            raise InputError(
                f"{path} is an Excel workbook, not a text table.",
                fix="Get the table from before Excel, which turns gene names into dates; or save "
                "it as CSV and check the names.",
            )
        return "zarr" if is_zarr(path) else "hdf5"
    named_hdf5 = path.name.lower().endswith((".h5ad", ".h5", ".hdf5"))
    return "table" if not named_hdf5 and _is_table(path, _unpacked(path, head)) else "hdf5"


def _is_workbook(path: Path, head: bytes) -> bool:
    if head.startswith(OLE):
        return True
    try:
        with zipfile.ZipFile(path) as archive:
            return "[Content_Types].xml" in archive.namelist()
    except zipfile.BadZipFile:
        return False


def _unpacked(path: Path, head: bytes) -> bytes:
    if not head.startswith(GZIP):
        return head
    try:
        with gzip.open(path) as stream:
            return stream.read(4096)
    except (OSError, EOFError):
        return head


def _is_table(path: Path, head: bytes) -> bool:
    if head.startswith(UTF16):
        return True
    if not head or any(head.startswith(magic) for magic, *_ in LOOKALIKES):
        return False
    refuse_page(path, head, wanted="a table")
    return len(head.translate(None, _BINARY)) == len(head)
