"""Matrix Market files with a table of genes and one of cells beside them.

10x's folders and those of STARsolo, kallisto | bustools, alevin-fry and Parse differ in the names
of the files, the direction of the matrix, and whether the tables have headers; nothing else.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from pancyte.corpus.budget import MAX_RATIO, require_memory
from pancyte.corpus.formats import Checked
from pancyte.corpus.orientation import CELL_WORDS, GENE_WORDS, plain
from pancyte.corpus.tenx import assemble
from pancyte.errors import InputError, IntegrityError

if TYPE_CHECKING:
    from io import BufferedReader

    from anndata import AnnData

    Stream = BufferedReader | gzip.GzipFile

# text in, text out: nothing here follows pointers; scipy's mmread does, and crashes on some damage
ISOLATED = False
BANNER = b"%%MatrixMarket"
# what an entry says beside its row and column, by the banner's word for it
_VALUES: dict[str, list[type]] = {"integer": [np.int64], "real": [np.float64], "pattern": []}
# "1 1 1" and a line end, or "1 1"
SHORTEST_ENTRY = 4
LONGEST_LINE = 1 << 16
BLOCK = 1 << 21
# headings of Parse's tables and of GEO's, beside the words for cells and genes
_OTHER_HEADINGS = ("bcwell", "ensemblid")
_MATRIX = re.compile(r"\.mtx(\.gz)?$")
_TABLE = re.compile(r"\.(tsv|txt|csv)(\.gz)?$")
_GENES = re.compile(r"feature|gene|mat_cols", re.IGNORECASE)
_CELLS = re.compile(r"barcode|cell|mat_rows", re.IGNORECASE)


def recognises(path: Path, head: bytes) -> bool:
    """Look for a Matrix Market banner, or for such a file in a folder and the folders in it."""
    return bool(_matrices(path)) if path.is_dir() else head.startswith(BANNER)


def check(path: Path) -> Checked:
    """Find the one matrix meant, and the tables that belong to it.

    Raises
    ------
    InputError
        If there are several matrices, or a table is missing.
    """
    found = [path] if path.is_file() else _matrices(path)
    if len(found) > 1:
        names = ", ".join(str(file.relative_to(path)) for file in found[:4])
        raise InputError(
            f"{path} holds {len(found)} matrices ({names}).",
            fix=f"Give the one to read: {found[0]}.",
        )
    names = ", ".join(file.name for file in (found[0], *_tables(found[0])))
    return Checked("10x folder", str(found[0]), (f"Used {names} of {found[0].parent}.",))


def read(path: Path, checked: Checked) -> AnnData:
    """Read a matrix and the tables of genes and cells beside it.

    Each file may be gzipped or not, have a header or not, and share a prefix with the others
    (``GSM123_matrix.mtx.gz``). One column of gene names is enough.

    Raises
    ------
    InputError
        If a table is missing, or the files do not fit together.
    IntegrityError
        If one of them is damaged.
    """
    matrix = Path(checked.part)
    features, barcodes = _tables(matrix)
    genes, cells = _table(features, GENE_WORDS), _table(barcodes, CELL_WORDS)
    counts = _counts(matrix, len(genes), len(cells))
    columns = ["id", "name", "feature_types", *map(str, range(3, genes.shape[1]))]
    if "genome" in genes.columns:
        columns[2] = "genome"
    genes.columns = pd.Index(columns[: genes.shape[1]])
    return assemble(counts, genes, cells.iloc[:, 0].to_numpy())


def _matrices(folder: Path) -> list[Path]:
    """List matrices in a folder, or else one or two levels below (``outs/filtered…/hg19``)."""
    for pattern in ("*", "*/*", "*/*/*"):
        found = [file for file in sorted(folder.glob(pattern)) if _MATRIX.search(file.name)]
        if found:
            return found
    return []


def _tables(matrix: Path) -> tuple[Path, Path]:
    """Find the tables of genes and of cells."""
    return (
        _companion(matrix, _GENES, "features.tsv or genes.tsv"),
        _companion(matrix, _CELLS, "barcodes.tsv"),
    )


def _companion(matrix: Path, pattern: re.Pattern[str], wanted: str) -> Path:
    """Find the table that belongs to a matrix: the one whose name has most in common with it."""
    others = [file.name for file in _matrices(matrix.parent) if file != matrix]
    best: list[tuple[int, Path]] = []
    for file in sorted(matrix.parent.iterdir()):
        common = _common(file.name, matrix.name)
        wanted_here = _TABLE.search(file.name) and pattern.search(file.name[common:])
        if wanted_here and all(_common(file.name, other) <= common for other in others):
            best.append((common, file))
    if not best:
        raise InputError(
            f"Beside {matrix} there is no {wanted}, gzipped or not.",
            fix="Put it there; the names must share the matrix's prefix.",
        )
    # "genes.tsv" before "genes_removed.tsv"
    return min(best, key=lambda found: (-found[0], len(found[1].name)))[1]


def _common(name: str, other: str) -> int:
    """Return the length of the prefix two names share, up to its last separator."""
    same = list(takewhile(lambda pair: pair[0] == pair[1], zip(name, other, strict=False)))
    return len(re.sub(r"[^._-]*$", "", name[: len(same)]))


def _table(path: Path, words: tuple[str, ...]) -> pd.DataFrame:
    """Read a table of names; a first line that says what its columns are is not one of them."""
    separator = "," if ".csv" in path.suffixes else "\t"
    try:
        table = pd.read_csv(path, sep=separator, header=None, dtype=str, keep_default_na=False)
    except pd.errors.EmptyDataError:
        return pd.DataFrame({0: pd.Series(dtype=str)})
    except (ValueError, EOFError, OSError, zlib.error) as error:
        raise IntegrityError(f"{path} cannot be read: {error}.", fix="Copy it again.") from None
    headed = any(plain(word) in (*words, *_OTHER_HEADINGS) for word in table.iloc[0])
    return table.iloc[1:].set_axis(table.iloc[0], axis=1) if headed else table


def _counts(path: Path, genes: int, cells: int) -> csr_matrix:
    """Read counts as cells × genes, whichever way they are stored."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            field = _field(path, stream)
            rows, columns, stored = _sizes(stream)
            room = path.stat().st_size * (MAX_RATIO if path.suffix == ".gz" else 1)
            if stored < 0 or SHORTEST_ENTRY * stored > room:
                raise ValueError(f"it declares {stored:,} entries, more than the file can hold")
            if (rows, columns) not in ((genes, cells), (cells, genes)):
                raise InputError(
                    f"{path} is {rows:,} × {columns:,}, but there are {genes:,} genes and "
                    f"{cells:,} barcodes beside it.",
                    fix="Use the files of one and the same run.",
                )
            require_memory(path, 32 * stored, fix="Write it as an h5ad on a larger machine.")
            found = list(_entries(stream, field, (rows, columns), stored))
    except (ValueError, EOFError, OSError, OverflowError, zlib.error) as error:
        raise IntegrityError(
            f"{path} is damaged: {str(error).strip()}.", fix="Copy or download it again."
        ) from None
    row, column, values = map(np.concatenate, zip(*found, strict=True))
    places = (column, row) if (rows, columns) == (genes, cells) else (row, column)
    return csr_matrix((values, places), shape=(cells, genes))


def _field(path: Path, stream: Stream) -> str:
    """Read the banner: what kind of values the entries have."""
    _, _, layout, field, symmetry = stream.readline(LONGEST_LINE).decode().lower().split()
    if layout != "coordinate" or field not in _VALUES or symmetry != "general":
        raise InputError(
            f"{path} is a Matrix Market file of the kind {layout} {field} {symmetry}.",
            fix="Write it as coordinate integer general, e.g. with scipy.io.mmwrite.",
        )
    return field


def _sizes(stream: Stream) -> list[int]:
    """Read how many rows, columns and entries there are, after comments."""
    line = b"%"
    while line.startswith(b"%") or line.isspace():
        line = stream.readline(LONGEST_LINE)
    sizes = [int(word) for word in line.split()]
    if len(sizes) != 3:
        raise ValueError("it does not say how many rows, columns and entries it has")
    return sizes


def _entries(
    stream: Stream, field: str, shape: tuple[int, int], stored: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Read rows, columns (both from 0) and values, a block at a time."""
    if not stored:
        yield np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int64)
        return
    types = dict(enumerate([np.int64, np.int64, *_VALUES[field]]))
    total = 0
    with pd.read_csv(stream, sep=r"\s+", header=None, dtype=types, chunksize=BLOCK) as blocks:
        for block in blocks:
            total += len(block)
            if total > stored:
                break
            if block.shape[1] != len(types):
                raise ValueError(f"its entries have {block.shape[1]} numbers, not {len(types)}")
            row, column = (_places(block[axis], axis, shape[axis]) for axis in (0, 1))
            values = block[2].to_numpy() if 2 in types else np.ones(len(block), np.int64)
            yield row, column, values
    if total != stored:
        more = "more" if total > stored else f"only {total:,}"
        raise ValueError(f"it declares {stored:,} entries and has {more}")


def _places(numbers: pd.Series, axis: int, size: int) -> np.ndarray:
    """Turn numbers of rows or columns, from 1, into places, from 0."""
    low, high = numbers.min(), numbers.max()
    if low < 1 or high > size:
        wrong, name = low if low < 1 else high, ("row", "column")[axis]
        raise ValueError(f"an entry is in {name} {wrong:,} of {size:,}")
    return (numbers.to_numpy() - 1).astype(np.int32)
