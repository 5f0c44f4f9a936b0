"""The h5 of 10x Genomics' Cell Ranger, versions 2 and 3."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import h5py

from pancyte.corpus.structure import ContradictionError, blocks, check_sparse
from pancyte.errors import InputError

# pandas and scipy are imported where they are used: the process that checks needs neither
if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from anndata import AnnData
    from scipy.sparse import csr_matrix


def genomes(handle: h5py.File) -> list[str]:
    """List the groups of a version 2 file, one per reference genome."""
    return [
        name
        for name, item in handle.items()
        if isinstance(item, h5py.Group) and {"genes", "barcodes", "indptr"} <= set(item)
    ]


def check_layout(handle: h5py.File, kind: str) -> None:
    """Check that counts, names and barcodes fit together.

    Raises
    ------
    ContradictionError
        If they do not.
    """
    for name in ["matrix"] if kind == "10x v3" else genomes(handle):
        group = handle[name]
        genes, cells = map(int, group["shape"][:])
        check_sparse(group, major=cells, minor=genes)
        _check_text(group["barcodes"], cells)
        for part in _columns(group, kind).values():
            _check_text(part, genes)


def _columns(group: h5py.Group, kind: str) -> dict[str, h5py.Dataset]:
    """Find the columns of the table of features, by the names that `assemble` knows."""
    if kind == "10x v2":
        return {"id": group["genes"], "name": group["gene_names"]}
    features = group["features"]
    found = {"id": features["id"], "name": features["name"]}
    if "feature_type" in features:
        found["feature_types"] = features["feature_type"]
    return found


def _check_text(item: h5py.Dataset, needed: int) -> None:
    """Check that a column is text, all of it readable, with as many entries as needed."""
    if h5py.check_string_dtype(item.dtype) is None:
        raise ContradictionError(item, f"holds {item.dtype}, not text")
    if item.shape != (needed,):
        raise ContradictionError(item, f"has shape {item.shape} for {needed:,} entries")
    for block in blocks(item):
        try:
            b"\n".join(block.tolist()).decode()
        except UnicodeDecodeError:
            raise ContradictionError(item, "holds text that is not UTF-8") from None


def read_h5(path: Path, kind: str, genome: str = "") -> AnnData:
    """Read a 10x h5 that was checked.

    Parameters
    ----------
    path, kind
        The file, and which version of the layout it has.
    genome
        Which reference to read, if a version 2 file holds several.

    Raises
    ------
    InputError
        If it holds several references, each with cells of its own, and not the one asked for.
    """
    import pandas as pd
    from scipy.sparse import csr_matrix

    with h5py.File(path, "r") as handle:
        groups = ["matrix"] if kind == "10x v3" else genomes(handle)
        if genome not in groups and len(groups) > 1:
            raise InputError(
                f"{path} holds cells of {len(groups)} references: {', '.join(groups)}.",
                fix=f"Choose one: genome={groups[0]!r} (--genome {groups[0]}).",
            )
        chosen = genome if genome in groups else groups[0]
        group = handle[chosen]
        columns = {name: item.asstr("utf-8")[:] for name, item in _columns(group, kind).items()}
        genes, cells = map(int, group["shape"][:])
        packed = (group["data"][:], group["indices"][:], group["indptr"][:])
        barcodes = group["barcodes"].asstr("utf-8")[:]
    # 10x stores cells as columns; the same arrays read as rows are the transpose
    counts = csr_matrix(packed, shape=(cells, genes))
    table = pd.DataFrame(columns)
    if kind == "10x v2":
        table["genome"] = chosen
    return assemble(counts, table, barcodes)


def assemble(counts: csr_matrix, table: pd.DataFrame, barcodes: np.ndarray) -> AnnData:
    """Put counts, a 10x table of features and cells together.

    The table has a column ``id`` and perhaps ``name``, ``feature_types`` and ``genome``.

    Returns
    -------
    AnnData named by symbols where there are any; Ensembl ids are in ``.var["ensembl_id"]``.
    """
    import pandas as pd
    from anndata import AnnData

    from pancyte.corpus.naming import naming_of

    names = table["name"] if "name" in table else table["id"]
    var = pd.DataFrame(index=pd.Index(names.to_numpy(), name=None))
    if "name" in table:
        ensembl = naming_of(table["id"]) == "ensembl"
        var["ensembl_id" if ensembl else "gene_ids"] = table["id"].to_numpy()
    for column in ("feature_types", "genome"):
        if column in table:
            var[column] = table[column].to_numpy()
    return AnnData(counts, obs=pd.DataFrame(index=pd.Index(barcodes)), var=var)
