"""What commonly happens to counts on the way, and a comparison of matrices."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.io import mmwrite
from scipy.sparse import csc_matrix, csr_matrix, hstack
from sklearn.neighbors import kneighbors_graph


def log_normalised(adata: AnnData, target: float = 1e4) -> AnnData:
    """The same cells, each scaled to `target` and logged, as scanpy's recipe does."""
    result = adata.copy()
    totals = np.asarray(result.X.sum(axis=1)).ravel()
    result.X = (
        result.X.astype(np.float32).multiply((target / np.maximum(totals, 1))[:, None]).tocsr()
    )
    result.X.data = np.log1p(result.X.data)
    return result


def scaled(adata: AnnData) -> AnnData:
    """The same cells after logging, centring and division by the standard deviation."""
    result = log_normalised(adata)
    dense = result.X.toarray()
    result.X = (dense - dense.mean(0)) / np.maximum(dense.std(0), 1e-6)
    return result


def without_ambient(adata: AnnData, share: float = 0.1) -> AnnData:
    """The same cells without the soup: a share of each cell's counts with the mean profile."""
    result = adata.copy()
    profile = np.asarray(adata.X.sum(axis=0)).ravel() / adata.X.sum()
    depth = np.asarray(adata.X.sum(axis=1)).ravel()
    counts = csr_matrix(adata.X, dtype=np.float64)
    row = np.repeat(np.arange(adata.n_obs), np.diff(counts.indptr))
    counts.data = np.maximum(counts.data - share * depth[row] * profile[counts.indices], 0)
    counts.eliminate_zeros()
    result.X = counts
    return result


def split_features(adata: AnnData, names: list[str]) -> AnnData:
    """The same cells with each gene's counts over two features, called `names`."""
    half = csr_matrix(adata.X, copy=True)
    half.data //= 2
    halves = hstack([half, adata.X - half]).tocsr()
    return AnnData(halves, obs=adata.obs.copy(), var=pd.DataFrame(index=names))


def imputed(adata: AnnData, neighbours: int = 30, steps: int = 3) -> AnnData:
    """The same cells, each diffused over its nearest neighbours, as imputation does."""
    result = adata.copy()
    logged = log_normalised(adata).X.toarray()
    graph = kneighbors_graph(logged, neighbours, include_self=True).toarray() / neighbours
    result.X = np.linalg.matrix_power(graph, steps) @ adata.X.toarray().astype(float)
    return result


def tenx_folder(
    folder: Path,
    adata: AnnData,
    *,
    prefix: str = "",
    genes: str = "genes.tsv",
    columns: int = 2,
    packed: tuple[str, ...] = (),
) -> Path:
    """Write a 10x folder of any vintage; the files of `packed` are gzipped."""
    folder.mkdir(exist_ok=True)
    mmwrite(folder / f"{prefix}matrix.mtx", csc_matrix(adata.X.T))
    table = pd.DataFrame({"id": adata.var["ensembl_id"], "name": adata.var_names})
    table["kind"] = adata.var.get("feature_types", "Gene Expression")
    chosen = table[["name"]] if columns == 1 else table.iloc[:, :columns]
    chosen.to_csv(folder / f"{prefix}{genes}", sep="\t", header=False, index=False)
    (folder / f"{prefix}barcodes.tsv").write_text("\n".join(adata.obs_names) + "\n")
    for name in packed:
        file = folder / f"{prefix}{name}"
        with file.open("rb") as plain, gzip.open(f"{file}.gz", "wb") as handle:
            shutil.copyfileobj(plain, handle)
        file.unlink()
    return folder


def as_anndata_06(path: Path) -> None:
    """Rewrite X and the tables of an h5ad in the layout of anndata 0.6, of the year 2018."""
    with h5py.File(path, "a") as handle:
        old = handle["X"]
        for key, value in (("h5sparse_format", "csr"), ("h5sparse_shape", old.attrs["shape"])):
            old.attrs[key] = value
        for key in ("encoding-type", "encoding-version", "shape"):
            del old.attrs[key]
        for name in ("obs", "var"):
            table = handle[name]
            index = table[table.attrs["_index"]].asstr()[:].astype("S")
            del handle[name]
            records = np.empty(len(index), [("index", index.dtype), ("number", "f4")])
            records["index"], records["number"] = index, np.arange(len(index))
            handle[name] = records
        for name in list(handle):
            if name not in ("X", "obs", "var"):
                del handle[name]
        for key in list(handle.attrs):
            del handle.attrs[key]


def same_counts(left: Any, right: Any) -> bool:
    return (left != right).nnz == 0
