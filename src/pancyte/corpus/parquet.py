"""Count tables in Parquet: one column per gene or cell, or one row per cell, gene and count."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix, csr_matrix, vstack

from pancyte.corpus.budget import gib, implausible, require_memory
from pancyte.corpus.formats import Checked
from pancyte.corpus.orientation import CELL_WORDS, GENE_WORDS, plain
from pancyte.errors import InputError, IntegrityError

if TYPE_CHECKING:
    from anndata import AnnData

ISOLATED = True
MAGIC = b"PAR1"
# values read at a time
BLOCK = 1 << 24
COUNT_WORDS = ("count", "umi", "umicount", "value")


def recognises(path: Path, head: bytes) -> bool:
    """Look for Parquet's signature."""
    return head.startswith(MAGIC)


def check(path: Path) -> Checked:
    """Check that all of a file can be read as numbers with names.

    Returns
    -------
    Of kind ``"parquet triplets"`` if there are columns named after cells, genes and counts, and
    otherwise ``"parquet table"``, whose rows may be either.

    Raises
    ------
    InputError
        If there is no column of names, or a column other than that is not of numbers.
    IntegrityError
        If it is damaged.
    ResourceError
        If its counts do not fit in memory.
    """
    with _opened(path) as file:
        rows, columns = file.metadata.num_rows, file.metadata.num_columns
        if implausible(4 * rows * columns, path.stat().st_size):
            raise IntegrityError(
                f"{path} is damaged: it declares {rows:,} rows of {columns:,} values, "
                f"{gib(4 * rows * columns)}.",
                fix="Copy or download it again.",
            )
        if not rows:
            raise InputError(f"{path} has no rows.", fix="Check the step that wrote it.")
        if triplets := _triplets(file):
            # two codes and a count for every row, and the matrix made of them
            require_memory(path, 40 * rows, fix="Write fewer cells per file.")
            deque(_triplet_pieces(path, file, triplets), maxlen=0)
            return Checked("parquet triplets")
        stored = 0
        for piece in _wide_pieces(path, file):
            stored += int(np.count_nonzero(piece.to_numpy(np.float32)))
            require_memory(path, 24 * stored, fix="Write fewer cells per file.")
        return Checked("parquet table")


def read(path: Path, checked: Checked) -> AnnData:
    """Read a file that `check` found sound, a block of rows at a time."""
    with _opened(path) as file:
        return _from_triplets(path, file) if "triplets" in checked.kind else _wide(path, file)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            yield file
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise IntegrityError(
            f"{path} is damaged: {reason[0].rstrip('.')}.", fix="Copy or download it again."
        ) from None


def _triplets(file: Any) -> list[str]:
    """Find the columns with cell, gene and count; none unless all three are there."""
    names = {plain(name): name for name in reversed(file.schema_arrow.names)}
    found = [
        next((names[word] for word in words if word in names), "")
        for words in (CELL_WORDS, GENE_WORDS, COUNT_WORDS)
    ]
    return found if all(found) else []


def _triplet_pieces(path: Path, file: Any, columns: list[str]) -> Iterator[pd.DataFrame]:
    for piece in file.iter_batches(batch_size=BLOCK, columns=columns):
        table = piece.to_pandas()[columns]
        _require_numbers(path, table[columns[2:]])
        yield table


def _from_triplets(path: Path, file: Any) -> AnnData:
    from anndata import AnnData

    names: tuple[dict[str, int], dict[str, int]] = ({}, {})
    places: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    counts: list[np.ndarray] = []
    for table in _triplet_pieces(path, file, _triplets(file)):
        for axis in (0, 1):
            codes, levels = pd.factorize(table.iloc[:, axis].astype(str))
            known = [names[axis].setdefault(level, len(names[axis])) for level in levels]
            places[axis].append(np.array(known, dtype=np.int64)[codes])
        counts.append(table.iloc[:, 2].to_numpy(np.float32))
    rows, columns = (np.concatenate(part) for part in places)
    shape = (len(names[0]), len(names[1]))
    matrix = coo_matrix((np.concatenate(counts), (rows, columns)), shape=shape)
    cells, genes = (pd.DataFrame(index=pd.Index(list(known), dtype=object)) for known in names)
    return AnnData(csr_matrix(matrix), obs=cells, var=genes)


def _wide_pieces(path: Path, file: Any) -> Iterator[pd.DataFrame]:
    """Read rows of numbers, named by the pandas index or by the first column of text."""
    step = max(1, BLOCK // max(1, file.metadata.num_columns))
    for piece in file.iter_batches(batch_size=step):
        table = piece.to_pandas()
        if pd.api.types.is_numeric_dtype(table.index.dtype):
            table = table.set_index(_name_column(path, table))
        _require_numbers(path, table)
        yield table


def _wide(path: Path, file: Any) -> AnnData:
    from anndata import AnnData

    names: list[str] = []
    blocks: list[csr_matrix] = []
    for table in _wide_pieces(path, file):
        names += map(str, table.index)
        blocks.append(csr_matrix(table.to_numpy(np.float32)))
    return AnnData(
        vstack(blocks, format="csr"),
        obs=pd.DataFrame(index=pd.Index(names, dtype=object, name=table.index.name)),
        var=pd.DataFrame(index=pd.Index([str(name) for name in table.columns], dtype=object)),
    )


def _name_column(path: Path, table: pd.DataFrame) -> str:
    for column in table.columns:
        if not pd.api.types.is_numeric_dtype(table[column].dtype):
            return column
    raise InputError(
        f"{path} has no column of names, only numbers: {', '.join(map(str, table.columns[:3]))} ….",
        fix="Add a column with the names of the rows, or write the table with its index.",
    )


def _require_numbers(path: Path, table: pd.DataFrame) -> None:
    for column, kind in table.dtypes.items():
        if not pd.api.types.is_numeric_dtype(kind):
            raise InputError(
                f"Column {column!r} of {path} holds {table[column].iloc[0]!r}, which is no number.",
                fix="Leave out columns that are not counts.",
            )
