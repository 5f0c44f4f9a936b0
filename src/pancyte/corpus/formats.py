"""Which formats can be read, and which of them a file is: told by its content, not by its name.

To add a format, write a module with the three functions of `Format` and put its name in `FORMATS`.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from pancyte.corpus.strangers import refuse

if TYPE_CHECKING:
    from anndata import AnnData

# asked in this order; text comes last, as it recognises whatever has no unprintable characters
FORMATS = ("hdf5", "zarr", "soma", "parquet", "rds", "mex", "delimited")
BEGINNING = 4096
_PACKED = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\0", lzma.open))


@dataclass(frozen=True)
class Checked:
    """What a format's `check` found.

    Attributes
    ----------
    kind
        Which of the layouts that the format knows.
    part
        Path inside the file of what is to be read, such as ``mod/rna``.
    notices
        What a reader ought to know.
    """

    kind: str
    part: str = ""
    notices: tuple[str, ...] = ()


class Format(Protocol):
    """What a module must offer to be one of `FORMATS`.

    `check` verifies that nothing in the file can mislead `read`; where `ISOLATED` is true, because
    a library follows the file's own pointers, it runs in a process of its own.
    """

    ISOLATED: bool

    def recognises(self, path: Path, head: bytes) -> bool:
        """Tell from the file's unpacked beginning (empty for a folder) whether it is ours."""

    def check(self, path: Path) -> Checked:
        """Look through all of it; raise an error of `pancyte.errors` for what is wrong."""

    def read(self, path: Path, checked: Checked) -> AnnData:
        """Read what `check` found sound."""


def format_of(path: Path) -> Format:
    """Find the module that reads a file or folder.

    Raises
    ------
    InputError
        If there is none, saying what the file seems to be.
    """
    head = b"" if path.is_dir() else _beginning(path)
    if head or path.is_dir():
        for name in FORMATS:
            module = cast(Format, import_module(f"pancyte.corpus.{name}"))
            if module.recognises(path, head):
                return module
    raise refuse(path, head)


def _beginning(path: Path) -> bytes:
    with path.open("rb") as stream:
        head = stream.read(BEGINNING)
    for magic, opener in _PACKED:
        if head.startswith(magic):
            try:
                with opener(path) as packed:
                    return packed.read(BEGINNING) or head
            except (OSError, EOFError, lzma.LZMAError, zlib.error):
                return head
    return head
