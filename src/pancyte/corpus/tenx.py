"""10x Genomics output: the h5 of Cell Ranger 2 and 3, and folders with matrix.mtx."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pandas as pd
from scipy import io
from scipy.sparse import csc_matrix, csr_matrix

from pancyte.corpus.naming import naming_of
from pancyte.corpus.probe import MAX_RATIO, genomes
from pancyte.errors import InputError, IntegrityError

if TYPE_CHECKING:
    from anndata import AnnData

# "1 1 1" and a line end
SHORTEST_ENTRY = 6


def read_h5(path: Path, kind: str) -> AnnData:
    """Read a 10x h5 that `pancyte.corpus.probe` has checked.

    Raises
    ------
    InputError
        If it holds several references, each with cells of its own.
    """
    with h5py.File(path, "r") as handle:
        if kind == "10x v3":
            group = handle["matrix"]
            parts = {"id": "id", "name": "name", "feature_type": "feature_types"}
            table = {parts[name]: group[f"features/{name}"] for name in parts}
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
    return _anndata(counts, pd.DataFrame(columns), barcodes)


def read_folder(path: Path) -> AnnData:
    """Read a folder with matrix.mtx, genes.tsv or features.tsv, and barcodes.tsv.

    Files may be gzipped or not, each on its own, and share a prefix (``GSM123_matrix.mtx.gz``).
    One column of gene names is enough. `path` may also be the matrix file itself.

    Raises
    ------
    InputError
        If a file is missing, there are several matrices, or the files do not fit together.
    """
    matrix, prefix = _matrix_file(path)
    genes = _companion(matrix, prefix, ("features.tsv", "genes.tsv"))
    cells = _companion(matrix, prefix, ("barcodes.tsv",))
    table = _table(genes)
    barcodes = _table(cells).iloc[:, 0].to_numpy()
    table.columns = ["id", "name", "feature_types", *map(str, range(3, table.shape[1]))][
        : table.shape[1]
    ]
    return _anndata(_counts(matrix, len(table), len(barcodes)), table, barcodes)


def _matrix_file(path: Path) -> tuple[Path, str]:
    found = [path] if path.is_file() else sorted(path.glob("*matrix.mtx*"))
    found = [file for file in found if file.name.endswith(("matrix.mtx", "matrix.mtx.gz"))]
    if len(found) != 1:
        names = ", ".join(file.name for file in found[:4])
        raise InputError(
            f"{path} holds {len(found)} matrices ({names})." if found
            else f"{path} is a folder without a matrix.mtx or matrix.mtx.gz.",
            fix="Give the one to read: …/PREFIX_matrix.mtx.gz." if found
            else "Give an h5ad, a 10x h5, or a folder with matrix.mtx, features.tsv, barcodes.tsv.",
        )  # fmt: skip
    return found[0], found[0].name.split("matrix.mtx")[0]


def _companion(matrix: Path, prefix: str, names: tuple[str, ...]) -> Path:
    for name in names:
        for ending in ("", ".gz"):
            file = matrix.with_name(f"{prefix}{name}{ending}")
            if file.is_file():
                return file
    wanted = " or ".join(prefix + name for name in names)
    raise InputError(
        f"Beside {matrix} there is no {wanted}, gzipped or not.",
        fix="Put it there; the names must share the matrix's prefix.",
    )


def _table(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, sep="\t", header=None, dtype=str, keep_default_na=False)
    except pd.errors.EmptyDataError:
        return pd.DataFrame({0: pd.Series(dtype=str)})
    except (ValueError, EOFError, OSError) as error:
        raise IntegrityError(f"{path} cannot be read: {error}.", fix="Copy it again.") from None


def _counts(path: Path, genes: int, cells: int) -> csr_matrix:
    try:
        rows, columns, stored, *_ = io.mminfo(path)
        if SHORTEST_ENTRY * stored > path.stat().st_size * (
            MAX_RATIO if path.suffix == ".gz" else 1
        ):
            raise ValueError(f"it declares {stored:,} entries, more than the file can hold")
        if (rows, columns) not in ((genes, cells), (cells, genes)):
            raise InputError(
                f"{path} is {rows:,} × {columns:,}, but there are {genes:,} genes and "
                f"{cells:,} barcodes beside it.",
                fix="Use the files of one and the same run; a header line in a table counts too.",
            )
        matrix = csc_matrix(io.mmread(path))
    except (ValueError, EOFError, OSError, OverflowError, gzip.BadGzipFile) as error:
        raise IntegrityError(
            f"{path} is damaged: {error}.", fix="Copy or download it again."
        ) from None
    return csr_matrix(matrix.T if (rows, columns) == (genes, cells) else matrix)


def _anndata(counts: csr_matrix, table: pd.DataFrame, barcodes: np.ndarray) -> AnnData:
    from anndata import AnnData

    names = table["name"] if "name" in table else table["id"]
    var = pd.DataFrame(index=pd.Index(names.to_numpy(), name=None))
    if "name" in table:
        ensembl = naming_of(table["id"]) == "ensembl"
        var["ensembl_id" if ensembl else "gene_ids"] = table["id"].to_numpy()
    if "feature_types" in table:
        var["feature_types"] = table["feature_types"].to_numpy()
    return AnnData(counts, obs=pd.DataFrame(index=pd.Index(barcodes)), var=var)
