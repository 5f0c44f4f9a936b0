"""Count tables in Parquet: one column per gene or cell, or one row per cell, gene and count."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix, csr_matrix, vstack

from pancyte.corpus.delimited import BLOCK
from pancyte.corpus.probe import require_memory
from pancyte.errors import InputError, IntegrityError, MissingError

if TYPE_CHECKING:
    from anndata import AnnData

_LONG = (
    ("cell", "cells", "cellid", "cellname", "barcode", "cellbarcode"),
    ("gene", "genes", "geneid", "genename", "genesymbol", "symbol", "feature"),
    ("count", "counts", "umi", "umis", "umicount", "value"),
)


def read_parquet(path: Path) -> tuple[AnnData, bool]:
    """Read a Parquet file as it stands, a batch of rows at a time.

    Returns
    -------
    AnnData, and whether its rows are known to be cells: they are if the file has three columns
    named after cells, genes and counts. Otherwise rows are the file's, named by its pandas index
    or by its first column of text.

    Raises
    ------
    MissingError
        If pyarrow is not installed.
    InputError
        If there is no column of names, or a column other than that is not of numbers.
    IntegrityError
        If it is damaged.
    ResourceError
        If its counts do not fit in memory.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingError(
            f"{path} is Parquet, which needs pyarrow.", fix="pip install 'pancyte[parquet]'"
        ) from None
    try:
        with parquet.ParquetFile(path) as file:
            long = _long_columns(file.schema_arrow.names)
            return (_from_long(path, file, long), True) if long else (_wide(path, file), False)
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise IntegrityError(
            f"{path} is damaged: {reason[0].rstrip('.')}.", fix="Copy or download it again."
        ) from None


def _long_columns(names: list[str]) -> list[str]:
    """Find the columns with cell, gene and count; none unless all three are there."""
    spelling = {"".join(filter(str.isalnum, name.lower())): name for name in names}
    found = [next((spelling[key] for key in keys if key in spelling), None) for keys in _LONG]
    return [name for name in found if name] if all(found) else []


def _from_long(path: Path, file: Any, columns: list[str]) -> AnnData:
    from anndata import AnnData

    # two codes and a count for every row
    require_memory(path, 20 * file.metadata.num_rows, fix="Write fewer cells per file.")
    names: tuple[dict[str, int], dict[str, int]] = ({}, {})
    parts: list[list[np.ndarray]] = [[], [], []]
    for piece in file.iter_batches(batch_size=BLOCK, columns=columns):
        table = piece.to_pandas()
        for known, column, part in zip(names, columns[:2], parts[:2], strict=True):
            codes, levels = pd.factorize(table[column].astype(str))
            places = [known.setdefault(level, len(known)) for level in levels]
            part.append(np.array(places, dtype=np.int64)[codes])
        parts[2].append(_numbers(path, table[[columns[2]]]).ravel())
    rows, genes, counts = (np.concatenate(part) if part else np.array([], int) for part in parts)
    shape = (len(names[0]), len(names[1]))
    matrix = csr_matrix(coo_matrix((counts.astype(np.float32), (rows, genes)), shape=shape))
    cells, features = (pd.DataFrame(index=pd.Index(list(known), dtype=object)) for known in names)
    return AnnData(matrix, obs=cells, var=features)


def _wide(path: Path, file: Any) -> AnnData:
    from anndata import AnnData

    names: list[str] = []
    blocks: list[csr_matrix] = []
    columns: list[str] = []
    corner: str | None = None
    step = max(1, BLOCK // max(1, len(file.schema_arrow.names)))
    for table in _tables(file, step):
        if isinstance(table.index, pd.RangeIndex) or table.index.dtype.kind in "iu":
            table = table.set_index(_name_column(path, table))
        corner = corner or (str(table.index.name) if table.index.name else None)
        columns = list(map(str, table.columns))
        names.extend(map(str, table.index))
        blocks.append(csr_matrix(_numbers(path, table)))
        stored = sum(block.nnz for block in blocks)
        require_memory(path, 12 * stored, fix="Write fewer cells per file.")
    if not blocks:
        raise InputError(f"{path} has no rows.", fix="Check the step that wrote it.")
    return AnnData(
        vstack(blocks, format="csr"),
        obs=pd.DataFrame(index=pd.Index(names, dtype=object, name=corner)),
        var=pd.DataFrame(index=pd.Index(columns, dtype=object)),
    )


def _tables(file: Any, step: int) -> Iterator[pd.DataFrame]:
    for piece in file.iter_batches(batch_size=step):
        yield piece.to_pandas()


def _name_column(path: Path, table: pd.DataFrame) -> str:
    for column in table.columns:
        if not pd.api.types.is_numeric_dtype(table[column].dtype):
            return column
    raise InputError(
        f"{path} has no column of names, only numbers: {', '.join(map(str, table.columns[:3]))} ….",
        fix="Add a column with the names of the rows, or write the table with its index.",
    )


def _numbers(path: Path, table: pd.DataFrame) -> np.ndarray:
    for column in table.columns:
        if not pd.api.types.is_numeric_dtype(table[column].dtype):
            raise InputError(
                f"Column {column!r} of {path} holds {table[column].iloc[0]!r}, which is no number.",
                fix="Leave out columns that are not counts.",
            )
    return table.to_numpy(np.float32)
