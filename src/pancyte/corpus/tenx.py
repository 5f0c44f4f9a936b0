"""The h5 of 10x Genomics' Cell Ranger, versions 2 and 3."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import h5py

from pancyte.corpus.structure import ContradictionError, check_sparse
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
        names = ("genes", "gene_names") if kind == "10x v2" else ("features/id", "features/name")
        for part, needed in ((names[0], genes), (names[1], genes), ("barcodes", cells)):
            if (found := len(group[part])) != needed:
                raise ContradictionError(group[part], f"has {found:,} entries, not {needed:,}")


def read_h5(path: Path, kind: str) -> AnnData:
    """Read a 10x h5 that was checked.

    Raises
    ------
    InputError
        If it holds several references, each with cells of its own.
    """
    import pandas as pd
    from scipy.sparse import csr_matrix

    with h5py.File(path, "r") as handle:
        if kind == "10x v3":
            group = handle["matrix"]
            parts = {"id": "id", "name": "name", "feature_type": "feature_types"}
            table = {
                column: group[f"features/{name}"]
                for name, column in parts.items()
                if name in group["features"]
            }
        else:
            if len(found := genomes(handle)) > 1:
                raise InputError(
                    f"{path} holds cells of {len(found)} references: {', '.join(found)}.",
                    fix=f"Choose one: scanpy.read_10x_h5(path, genome={found[0]!r}).write_h5ad(…).",
                )
            group = handle[found[0]]
            table = {"id": group["genes"], "name": group["gene_names"]}
        columns = {name: item.asstr()[:] for name, item in table.items()}
        shape = tuple(group["shape"][:])
        packed = (group["data"][:], group["indices"][:], group["indptr"][:])
        barcodes = group["barcodes"].asstr()[:]
    # 10x stores cells as columns; the same arrays read as rows are the transpose
    counts = csr_matrix(packed, shape=shape[::-1])
    return assemble(counts, pd.DataFrame(columns), barcodes)


def assemble(counts: csr_matrix, table: pd.DataFrame, barcodes: np.ndarray) -> AnnData:
    """Put counts, a 10x table of features (``id``, ``name``, ``feature_types``) and cells together.

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
    if "feature_types" in table:
        var["feature_types"] = table["feature_types"].to_numpy()
    return AnnData(counts, obs=pd.DataFrame(index=pd.Index(barcodes)), var=var)
