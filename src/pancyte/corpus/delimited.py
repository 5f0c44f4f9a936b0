"""Count tables as text: csv, tsv, txt, gzipped or not, cells or genes as rows."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix, vstack

from pancyte.corpus.budget import require_memory
from pancyte.corpus.formats import Checked
from pancyte.errors import InputError, IntegrityError

if TYPE_CHECKING:
    from anndata import AnnData

# text in, numbers out: nothing here follows pointers
ISOLATED = False
SEPARATORS = ("\t", ",", ";", " ")
# values parsed at a time, and characters one line may have
BLOCK = 1 << 21
LONGEST = 1 << 28
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_UNPRINTABLE = bytes({*range(32)} - {*b"\t\n\x0b\x0c\r"})
_OTHER_TEXT = (b"%%MatrixMarket", b"{", b"[", b"%PDF")


class _Layout(NamedTuple):
    path: Path
    separator: str
    corner: str
    columns: list[str]


class _Row(NamedTuple):
    line: int
    name: str
    values: str


def recognises(path: Path, head: bytes) -> bool:
    """Look for unprintable characters: text has none."""
    if not head or path.is_dir():
        return False
    if head.startswith(_UTF16):
        return True
    text = head.translate(None, _UNPRINTABLE) == head
    return text and not head.startswith(_OTHER_TEXT) and b"<html" not in head[:512].lower()


def check(path: Path) -> Checked:
    """Say what it is; the text is checked as it is read."""
    return Checked("text table")


def read(path: Path, checked: Checked) -> AnnData:
    """Read a text table as it stands: a header, then one name and numbers per row.

    The separator is told from the first lines. The file is parsed a block at a time into CSR, so
    that zeros never take memory.

    Returns
    -------
    AnnData, rows × columns of the file; the first header cell is the name of ``obs_names``.

    Raises
    ------
    InputError
        If rows differ in length, a value is no number, or a column name occurs twice.
    IntegrityError
        If it is damaged gzip, or not the text it says it is.
    ResourceError
        If its counts do not fit in memory.
    """
    try:
        with _open(path) as stream:
            return _parse(path, _lines(path, stream))
    except (OSError, EOFError, zlib.error, UnicodeError) as error:
        raise IntegrityError(
            f"{path} is damaged: {error}.", fix="Copy or download it again."
        ) from None


def _open(path: Path) -> IO[str]:
    with path.open("rb") as raw:
        opener = gzip.open if raw.read(2) == b"\x1f\x8b" else open
    with opener(path, "rb") as start:
        encoding = "utf-16" if start.read(2) in _UTF16 else "utf-8-sig"
    return opener(path, "rt", encoding=encoding)


def _lines(path: Path, stream: IO[str]) -> Iterator[tuple[int, str]]:
    """Go through lines with their numbers, without empty ones and comments before the header."""
    number, begun = 0, False
    while line := stream.readline(LONGEST):
        number += 1
        if len(line) == LONGEST:
            raise InputError(
                f"Line {number:,} of {path} is longer than {LONGEST:,} characters.",
                fix="Write one row per line.",
            )
        line = line.rstrip("\r\n")
        if line.strip() and (begun or not line.startswith(("# ", "##", "%"))):
            begun = True
            yield number, line


def _parse(path: Path, lines: Iterator[tuple[int, str]]) -> AnnData:
    from anndata import AnnData

    head = list(islice(lines, 3))
    layout = _layout(path, [line for _, line in head])
    names: list[str] = []
    blocks: list[csr_matrix] = []
    stored = 0
    rows = (_row(layout, number, line) for number, line in chain(head[1:], lines))
    while block := list(islice(rows, max(1, BLOCK // len(layout.columns)))):
        names += [row.name for row in block]
        blocks.append(_numbers(layout, block))
        stored += blocks[-1].nnz
        # the blocks, and all of them as one matrix
        require_memory(path, 24 * stored, fix="Write it as a sparse h5ad on a larger machine.")
    index = pd.Index(names, dtype=object, name=layout.corner or None)
    return AnnData(
        vstack(blocks, format="csr"),
        obs=pd.DataFrame(index=index),
        var=pd.DataFrame(index=pd.Index(layout.columns, dtype=object)),
    )


def _layout(path: Path, head: list[str]) -> _Layout:
    separator = _separator(path, head)
    header = _split(head[0], separator)
    if len(header) < len(_split(head[1], separator)):  # R leaves the corner out
        header = ["", *header]
    repeated = [name for name, times in Counter(header[1:]).items() if times > 1]
    if repeated:
        raise InputError(
            f"The header of {path} has {len(repeated):,} names more than once, e.g. "
            f"{repeated[0]!r}.",
            fix="Give every column a name of its own.",
        )
    return _Layout(path, separator, header[0], header[1:])


def _separator(path: Path, head: list[str]) -> str:
    """Find the separator that gives the first lines the same number of fields, the most."""
    widths = {mark: [len(_split(line, mark)) for line in head] for mark in SEPARATORS}
    fitting = {
        mark: found[1]
        for mark, found in widths.items()
        if len(found) > 1 and found[1] > 1 and found[1] - found[0] in (0, 1)
    }
    if fitting:
        return max(fitting, key=lambda mark: fitting[mark])
    begins = head[0][:40] if head else ""
    raise InputError(
        f"{path} is no table of counts: its first lines, {begins!r} …, have no common separator"
        f"{'' if len(head) > 1 else ' or no rows'}.",
        fix="Give a header, then rows of a name and numbers, separated by tabs or commas.",
    )


def _split(line: str, separator: str) -> list[str]:
    return next(csv.reader([line], delimiter=separator)) if '"' in line else line.split(separator)


def _row(layout: _Layout, number: int, line: str) -> _Row:
    if '"' in line:
        name, *fields = _split(line, layout.separator)
        values, found = layout.separator.join(fields), len(fields)
    else:
        name, _, values = line.partition(layout.separator)
        found = line.count(layout.separator)
    if found != len(layout.columns):
        raise InputError(
            f"Line {number:,} of {layout.path}, {name!r}, has {found + 1:,} fields, where the "
            f"header has {len(layout.columns) + 1:,}.",
            fix="Write the table again; a name that holds the separator must be quoted.",
        )
    return _Row(number, name, values)


def _numbers(layout: _Layout, rows: list[_Row]) -> csr_matrix:
    texts = [row.values for row in rows]
    try:
        dense = np.loadtxt(texts, np.float32, comments=None, delimiter=layout.separator, ndmin=2)
    except ValueError:
        raise _not_a_number(layout, rows) from None
    return csr_matrix(dense)


def _not_a_number(layout: _Layout, rows: list[_Row]) -> InputError:
    """Find the first value that is no number, and name its row and column."""
    for row in rows:
        for column, value in zip(layout.columns, row.values.split(layout.separator), strict=False):
            try:
                float(value)
            except ValueError:
                return InputError(
                    f"Row {row.name!r} (line {row.line:,}) of {layout.path} has "
                    f"{value or 'nothing'!r} in column {column!r}, where a number is needed.",
                    fix="Leave out columns that are not counts; write 0 only where nothing was "
                    "counted.",
                )
    return InputError(f"{layout.path} has values that are no numbers.", fix="Write it again.")
