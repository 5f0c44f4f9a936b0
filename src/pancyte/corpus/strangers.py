"""Files that are no single-cell data: what they are instead, and what to do about it."""

from __future__ import annotations

import zipfile
from pathlib import Path

from pancyte.errors import InputError, IntegrityError, PancyteError

READABLE = "Give an h5ad, a zarr store, a 10x h5 or folder, a table as csv, tsv or Parquet."
# the compound files of Excel 97
_OLE = b"\xd0\xcf\x11\xe0"
_ZIP = b"PK\x03\x04"
_KNOWN = (
    (b"\x1f\x8b", "gzip data that cannot be unpacked", "Copy or download it again."),
    (b"\x80", "perhaps a Python pickle", "Write it as h5ad where it was made."),
    (b"%PDF", "a PDF", "Download the data file itself."),
    (_ZIP, "a zip archive, but not of a zarr store", "Unpack it first."),
)


def refuse(path: Path, head: bytes) -> PancyteError:
    """Make the error for a file that no format recognises, from its unpacked beginning."""
    if path.is_dir():
        return InputError(
            f"{path} is a folder without a matrix.mtx, and no zarr or SOMA store.", fix=READABLE
        )
    if not head:
        return InputError(f"{path} is an empty file.", fix="Copy or download it again.")
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html")) or b"<html" in start[:512]:
        return InputError(
            f"{path} is an HTML page, not data: a download was answered with a web page.",
            fix="Download the data file itself; a login or a wrong link is the usual cause.",
        )
    if _is_workbook(path, head):
        return InputError(
            f"{path} is an Excel workbook, not a text table.",
            fix="Get the table from before Excel, which turns gene names into dates; or save it "
            "as CSV and check the names.",
        )
    if start.startswith((b"{", b"[")):
        return InputError(f"{path} is JSON text.", fix="Download the data file itself.")
    if head.startswith(_ZIP) and not zipfile.is_zipfile(path):
        return IntegrityError(
            f"{path} is damaged: a zip archive whose list of contents is not there.",
            fix="Copy or download it again.",
        )
    if head[257:262] == b"ustar":
        return InputError(f"{path} is a tar archive.", fix="Unpack it (tar xf) first.")
    for magic, what, fix in _KNOWN:
        if head.startswith(magic):
            return InputError(f"{path} is {what}.", fix=fix)
    return InputError(
        f"{path} is of no format that is read; it begins with {head[:16]!r}.", fix=READABLE
    )


def _is_workbook(path: Path, head: bytes) -> bool:
    if head.startswith(_OLE):
        return True
    try:
        with zipfile.ZipFile(path) as archive:
            return "[Content_Types].xml" in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False
