"""Whether the rows of a table are cells or genes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pancyte.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

# kinds of files that say nothing on it themselves
EITHER = ("text table", "parquet table", "r matrix")
CELL_WORDS = ("cell", "cellid", "cellname", "barcode", "cellbarcode")
GENE_WORDS = (
    "gene", "geneid", "genename", "genesymbol", "symbol", "feature", "ensembl", "idref",
)  # fmt: skip


def plain(word: object) -> str:
    """Reduce a heading to what it says: ``Cell_IDs`` and ``cell.id`` become ``cellid``."""
    return "".join(filter(str.isalnum, str(word).lower())).removesuffix("s")


def genes_are_rows(path: Path, adata: AnnData) -> bool:
    """Tell from the names, or else from the first header cell, whether rows are genes.

    Raises
    ------
    InputError
        If neither shows it.
    """
    from pancyte.corpus.naming import look_like_barcodes, look_like_genes

    rows, columns = adata.obs_names, adata.var_names
    for looks, genes in ((look_like_genes, True), (look_like_barcodes, False)):
        if looks(rows) != looks(columns):
            return looks(rows) == genes
    corner = plain(rows.name or "")
    if corner in GENE_WORDS or corner in CELL_WORDS:
        return corner in GENE_WORDS
    raise InputError(
        f"Neither the rows of {path}, e.g. {rows[0]!r}, nor its columns, e.g. {columns[0]!r}, look "
        "like genes.",
        fix="If rows are genes, read it with transpose=True (--transpose); if rows are cells, make "
        "'cell' the first word of the header.",
    )


def transposed(adata: AnnData) -> AnnData:
    """Turn genes × cells into cells × genes, still stored by rows."""
    result = adata.T.copy()
    matrix: Any = result.X
    if getattr(matrix, "format", "csr") != "csr":
        result.X = matrix.tocsr()
    return result
