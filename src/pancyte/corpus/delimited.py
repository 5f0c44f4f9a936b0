"""Count tables as text: csv, tsv, txt, gzipped or not, cells or genes as rows."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix, vstack

from pancyte.corpus.kinds import GZIP, UTF16
from pancyte.corpus.naming import look_like_barcodes, look_like_genes, mangled_dates
from pancyte.corpus.probe import require_memory
from pancyte.errors import InputError, IntegrityError

if TYPE_CHECKING:
    from anndata import AnnData

SEPARATORS = ("\t", ",", ";", " ")
# values parsed at a time, and characters one line may have
BLOCK = 1 << 21
LONGEST = 1 << 28
_CORNERS = {
    "genes": {"gene", "geneid", "genename", "genesymbol", "symbol", "feature", "ensembl", "id_ref"},
    "cells": {"cell", "cellid", "cellname", "cellbarcode", "barcode"},
}
_WERE = {"mar": "MARCHF", "sep": "SEPTIN", "dec": "DELEC", "oct": "POU5F", "feb": "FEB"}


def read_table(path: Path) -> AnnData:
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
            return _parse(path, stream)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise IntegrityError(
            f"{path} is damaged: {error}.", fix="Copy or download it again."
        ) from None


def genes_are_rows(path: Path, adata: AnnData) -> bool:
    """Tell from the names, or else from the first header cell, whether rows are genes.

    Raises
    ------
    InputError
        If neither shows it.
    """
    rows, columns = adata.obs_names, adata.var_names
    for looks, genes in ((look_like_genes, "genes"), (look_like_barcodes, "cells")):
        if looks(rows) != looks(columns):
            return looks(rows) == (genes == "genes")
    corner = "".join(filter(str.isalnum, str(rows.name or "").lower()))
    for what, known in _CORNERS.items():
        if corner.removesuffix("s") in known:
            return what == "genes"
    raise InputError(
        f"Neither the rows of {path}, e.g. {rows[0]!r}, nor its columns, e.g. {columns[0]!r}, look "
        "like genes.",
        fix="If rows are genes, read it with transpose=True (--transpose); if rows are cells, make "
        "'cell' the first word of the header.",
    )


def likely_originals(names: pd.Index) -> str:
    """Say what genes were called that a spreadsheet turned into dates; ``""`` if there are none."""
    mangled = mangled_dates(names)
    if not mangled:
        return ""
    likely = []
    for name in mangled[:4]:
        month = next(part for part in name.split("-") if not part.isdigit())
        day = next(part for part in name.split("-") if part.isdigit())
        likely.append(f"{name!r} was likely {_WERE[month.lower()[:3]]}{int(day)}")
    return (
        f"{len(mangled)} gene names became dates in a spreadsheet and were left so: "
        f"{', '.join(likely)}{' …' if len(mangled) > 4 else ''}."
    )


def _open(path: Path) -> IO[str]:
    with path.open("rb") as raw:
        packed = raw.read(2) == GZIP
    with gzip.open(path) if packed else path.open("rb") as start:
        encoding = "utf-16" if start.read(2) in UTF16 else "utf-8-sig"
    opener = gzip.open if packed else open
    return opener(path, "rt", encoding=encoding)


def _parse(path: Path, stream: IO[str]) -> AnnData:
    from anndata import AnnData

    lines = _lines(path, stream)
    head = [line for _, line in zip(range(3), lines, strict=False)]
    separator = _separator(path, [line for _, line in head])
    header = _split(head[0][1], separator)
    width = len(_split(head[1][1], separator))
    if len(header) == width - 1:  # R leaves the corner out
        header = ["", *header]
    corner, columns = header[0], header[1:]
    _refuse_repeats(path, columns)
    names: list[str] = []
    blocks: list[csr_matrix] = []
    texts: list[tuple[int, str]] = []
    for number, line in _chain(head[1:], lines):
        name, values, found = _row(line, separator)
        if found != len(header):
            raise InputError(
                f"Line {number:,} of {path} has {found:,} fields, where the header has "
                f"{len(header):,}.",
                fix="Write the table again; a name that holds the separator must be quoted.",
            )
        names.append(name)
        texts.append((number, values))
        if len(texts) * width >= BLOCK:
            blocks.append(_block(path, texts, separator, columns))
            texts = []
            stored = sum(block.nnz for block in blocks)
            require_memory(path, 12 * stored, fix="Write it as a sparse h5ad, or use more memory.")
    if texts:
        blocks.append(_block(path, texts, separator, columns))
    index = pd.Index(names, dtype=object, name=corner or None)
    return AnnData(
        vstack(blocks, format="csr"),
        obs=pd.DataFrame(index=index),
        var=pd.DataFrame(index=pd.Index(columns, dtype=object)),
    )


def _chain(
    first: list[tuple[int, str]], rest: Iterator[tuple[int, str]]
) -> Iterator[tuple[int, str]]:
    yield from first
    yield from rest


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
        if not line.strip() or (not begun and line.startswith(("# ", "##", "%"))):
            continue
        begun = True
        yield number, line


def _split(line: str, separator: str) -> list[str]:
    return next(csv.reader([line], delimiter=separator)) if '"' in line else line.split(separator)


def _row(line: str, separator: str) -> tuple[str, str, int]:
    """Return a row's name, its values as text, and how many fields it has."""
    if '"' not in line:
        name, _, values = line.partition(separator)
        return name, values, line.count(separator) + 1
    fields = _split(line, separator)
    return fields[0], separator.join(fields[1:]), len(fields)


def _separator(path: Path, head: list[str]) -> str:
    """Find the separator that gives the first lines the same number of fields, the most."""
    best = (1, "")
    for separator in SEPARATORS:
        widths = [len(_split(line, separator)) for line in head]
        if len(widths) > 1 and widths[0] > 1 and widths[1] - widths[0] in (0, 1):
            best = max(best, (widths[0], separator), key=lambda found: found[0])
    if best[1]:
        return best[1]
    begins = head[0][:40] if head else ""
    raise InputError(
        f"{path} is no table of counts: its first lines, {begins!r} …, have no common separator"
        f"{'' if len(head) > 1 else ' or no rows'}.",
        fix="Give a header, then rows of a name and numbers, separated by tabs or commas.",
    )


def _refuse_repeats(path: Path, columns: list[str]) -> None:
    repeated = [name for name, times in Counter(columns).items() if times > 1]
    if repeated:
        raise InputError(
            f"The header of {path} has {len(repeated):,} names more than once, e.g. "
            f"{repeated[0]!r}.",
            fix="Give every column a name of its own.",
        )


def _block(
    path: Path, texts: list[tuple[int, str]], separator: str, columns: list[str]
) -> csr_matrix:
    rows = [values for _, values in texts]
    try:
        dense = np.loadtxt(rows, np.float32, comments=None, delimiter=separator, ndmin=2)
    except ValueError:
        raise _not_a_number(path, texts, separator, columns) from None
    return csr_matrix(dense)


def _not_a_number(
    path: Path, texts: list[tuple[int, str]], separator: str, columns: list[str]
) -> InputError:
    for number, values in texts:
        for column, value in zip(columns, values.split(separator), strict=False):
            try:
                float(value)
            except ValueError:
                return InputError(
                    f"Line {number:,} of {path} has {value!r} in column {column!r}, which is no "
                    "number.",
                    fix="Leave out columns that are not counts; write missing values as 0 only if "
                    "they are.",
                )
    return InputError(f"{path} has values that are no numbers.", fix="Write the table again.")
