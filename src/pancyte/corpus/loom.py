"""Loom: genes × cells in HDF5, dense, with one array per column of the two tables.

Source: the file specification at linnarssonlab.org/loompy.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import h5py

from pancyte.corpus.budget import require_memory
from pancyte.corpus.orientation import CELL_WORDS, GENE_WORDS, plain
from pancyte.corpus.structure import ContradictionError, blocks

# pandas and scipy are imported where they are used: the process that checks needs neither
if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from scipy.sparse import csr_matrix

# what tools call the columns with names, beside the words of count tables
_CELL_NAMES = ("obsname", "cellid", "barcode", *CELL_WORDS)
_GENE_NAMES = ("varname", "gene", "genename", "genesymbol", "accession", *GENE_WORDS)


def check_layout(handle: h5py.File) -> None:
    """Check that the layers and the columns of both tables fit the matrix.

    Raises
    ------
    ContradictionError
        If they do not.
    """
    shape = handle["matrix"].shape
    if len(shape or ()) != 2:
        raise ContradictionError(handle["matrix"], "is no matrix")
    for name, layer in handle.get("layers", {}).items():
        if layer.shape != shape:
            raise ContradictionError(layer, f"is {layer.shape} where {name} should be {shape}")
    for table, rows in (("row_attrs", shape[0]), ("col_attrs", shape[1])):
        for column in handle[table].values():
            if not column.shape or column.shape[0] != rows:
                raise ContradictionError(column, f"has shape {column.shape} for {rows:,} rows")


def read_loom(path: Path) -> AnnData:
    """Read a loom file; its dense matrix is never whole in memory."""
    from anndata import AnnData

    with h5py.File(path, "r") as handle:
        layers = {name: _sparse(path, item) for name, item in handle.get("layers", {}).items()}
        return AnnData(
            _sparse(path, handle["matrix"]),
            obs=_table(handle["col_attrs"], _CELL_NAMES),
            var=_table(handle["row_attrs"], _GENE_NAMES),
            layers=layers,
        )


def _sparse(path: Path, dataset: h5py.Dataset) -> csr_matrix:
    """Read genes × cells as cells × genes."""
    from scipy.sparse import csr_matrix, vstack

    pieces, stored = [], 0
    for block in blocks(dataset):
        pieces.append(csr_matrix(block))
        stored += pieces[-1].nnz
        require_memory(path, 24 * stored, fix="Use more memory.")
    return vstack(pieces, format="csr").T.tocsr()


def _table(group: h5py.Group, known: tuple[str, ...]) -> pd.DataFrame:
    import pandas as pd

    from pancyte.corpus.naming import is_text

    columns = {}
    for name, item in group.items():
        if item.ndim == 1:
            text = h5py.check_string_dtype(item.dtype) is not None
            columns[name] = item.asstr()[:] if text else item[:]
    table = pd.DataFrame(columns)
    index = [name for word in known for name in table if plain(name) == word]
    index += [name for name in table if is_text(table[name]) and table[name].is_unique]
    if not index:
        return table.set_axis(table.index.astype(str))
    names = pd.Index(table[index[0]].astype(str).to_numpy())
    return table.drop(columns=index[0]).set_axis(names)
