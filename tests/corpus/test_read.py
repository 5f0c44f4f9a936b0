from __future__ import annotations

import gzip
import shutil

import h5py
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy.io import mmwrite
from scipy.sparse import csc_matrix, csr_matrix

from pancyte._settings import settings
from pancyte.corpus.checks import counts_of
from pancyte.corpus.read import read
from pancyte.errors import InputError, IntegrityError
from tests.corpus.accidents import log_normalised, same_counts


def test_says_in_one_line_what_it_found(demo_path, pancreas, capsys):
    adata = read(demo_path)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        "3,274 cells × 21,380 genes · human · symbols (Ensembl ids in var['ensembl_id']) · "
        "counts in X · labels: cell_type · batches: study, donor, assay, suspension_type\n"
    )
    assert same_counts(counts_of(adata), pancreas.X)


def test_can_be_quiet(small, written, capsys, monkeypatch):
    read(written(small), quiet=True)
    monkeypatch.setattr(settings, "verbosity", 0)
    read(written(small))
    assert capsys.readouterr().err == ""


def test_counts_in_a_layer_of_any_name(small, written, capsys):
    mess = log_normalised(small)
    mess.layers["umi"] = small.X
    adata = read(written(mess))
    assert same_counts(counts_of(adata), small.X)
    assert same_counts(adata.layers["counts"], small.X)
    said = capsys.readouterr().err
    assert "The counts were in layers['umi'].\n" in said
    assert "X holds log1p-normalised to 10,000 per cell; the counts in layers['counts'] are" in said


def test_counts_in_raw_over_the_same_genes(small, written):
    mess = log_normalised(small)
    mess.raw = small
    adata = read(written(mess))
    assert same_counts(adata.layers["counts"], small.X)
    assert same_counts(adata.X, mess.X)


def test_counts_in_raw_over_more_genes(small, written):
    mess = log_normalised(small)
    mess.raw = small
    mess = mess[:, 100:400].copy()
    mess.obsm["X_pca"] = np.ones((mess.n_obs, 2))
    adata = read(written(mess))
    assert adata.var_names.equals(small.var_names)
    assert list(adata.var["ensembl_id"]) == list(small.var["ensembl_id"])
    assert same_counts(adata.X, small.X)
    assert adata.obs["donor"].equals(small.obs["donor"])
    assert "X_pca" in adata.obsm


def test_only_logged_values_are_read_but_have_no_counts(small, written, capsys):
    adata = read(written(log_normalised(small)))
    assert "no counts: X holds log1p-normalised to 10,000 per cell" in capsys.readouterr().err
    with pytest.raises(InputError, match="Counts are never guessed"):
        counts_of(adata)


def test_transposed(small, written):
    path = written(AnnData(csr_matrix(small.X.T), obs=small.var, var=small.obs))
    with pytest.raises(InputError, match=r"transposed.*transpose=True.*--transpose"):
        read(path)
    adata = read(path, transpose=True)
    assert adata.var_names.equals(small.var_names)
    assert same_counts(counts_of(adata), small.X)


@pytest.mark.parametrize("axis", ["cells", "genes"])
def test_empty_matrix(small, written, axis):
    empty = small[:0].copy() if axis == "cells" else small[:, :0].copy()
    with pytest.raises(InputError, match=f"There are no {axis}"):
        read(written(empty))


def test_repeated_cell_names_get_their_batch(small, written, capsys):
    small.obs_names = small.obs.groupby("donor", observed=True).cumcount().astype(str).to_numpy()
    adata = read(written(small))
    assert "all are now prefixed by donor" in capsys.readouterr().err
    assert adata.obs_names.is_unique
    assert list(adata.obs["cell_name"]) == list(small.obs_names)


def test_proteins_beside_genes_are_left_out(small, written, capsys):
    small.var["feature_types"] = ["Gene Expression"] * 1490 + ["Antibody Capture"] * 10
    adata = read(written(small))
    assert adata.n_vars == 1490
    assert "Kept 1,490 genes; left out 10 Antibody Capture features." in capsys.readouterr().err


def test_no_file(tmp_path, small):
    small.write_h5ad(tmp_path / "near.h5ad")
    with pytest.raises(InputError, match=r"no file .*far.h5ad\. Nearby: near.h5ad"):
        read(tmp_path / "far.h5ad")


def test_newer_encoding_names_the_version(small, written):
    path = written(small)
    with h5py.File(path, "a") as handle:
        handle["obs/cell_type"].attrs["encoding-version"] = "9.0.0"
    with pytest.raises(InputError, match=r"anndata \d.* does not know.*Update anndata"):
        read(path)


def _tenx_h5(path, adata: AnnData, version: int) -> None:
    counts = csc_matrix(adata.X.T)
    with h5py.File(path, "w") as handle:
        group = handle.create_group("matrix" if version == 3 else "GRCh38")
        for part in ("data", "indices", "indptr"):
            group[part] = getattr(counts, part)
        group["shape"] = counts.shape
        group["barcodes"] = adata.obs_names.to_numpy().astype("S")
        ids, names = adata.var["ensembl_id"].astype("S"), adata.var_names.to_numpy().astype("S")
        if version == 2:
            group["genes"], group["gene_names"] = ids, names
        else:
            kinds = adata.var.get("feature_types", pd.Series("Gene Expression", adata.var_names))
            for part, values in (("id", ids), ("name", names), ("feature_type", kinds)):
                group[f"features/{part}"] = np.asarray(values).astype("S")


@pytest.mark.parametrize("version", [2, 3])
def test_tenx_h5(small, tmp_path, version):
    _tenx_h5(tmp_path / "filtered.h5", small, version)
    adata = read(tmp_path / "filtered.h5")
    assert adata.obs_names.equals(small.obs_names)
    assert adata.var_names.equals(small.var_names)
    assert list(adata.var["ensembl_id"]) == list(small.var["ensembl_id"])
    assert same_counts(counts_of(adata), small.X)


def test_tenx_h5_with_out_of_range_indices(small, tmp_path):
    _tenx_h5(tmp_path / "filtered.h5", small, 3)
    with h5py.File(tmp_path / "filtered.h5", "a") as handle:
        handle["matrix/indices"][5] = 10**6
    with pytest.raises(IntegrityError, match="matrix/indices points at 1,000,000"):
        read(tmp_path / "filtered.h5")


def test_tenx_h5_with_antibodies(small, tmp_path):
    small.var["feature_types"] = ["Gene Expression"] * 1400 + ["Antibody Capture"] * 100
    _tenx_h5(tmp_path / "filtered.h5", small, 3)
    assert same_counts(counts_of(read(tmp_path / "filtered.h5")), small.X[:, :1400])


def _folder(tmp_path, adata: AnnData, *, prefix="", genes="genes.tsv", columns=2, packed=()):
    mmwrite(tmp_path / f"{prefix}matrix.mtx", csc_matrix(adata.X.T))
    table = pd.DataFrame({"id": adata.var["ensembl_id"], "name": adata.var_names})
    table["kind"] = "Gene Expression"
    chosen = table[["name"]] if columns == 1 else table.iloc[:, :columns]
    chosen.to_csv(tmp_path / f"{prefix}{genes}", sep="\t", header=False, index=False)
    (tmp_path / f"{prefix}barcodes.tsv").write_text("\n".join(adata.obs_names) + "\n")
    for name in packed:
        file = tmp_path / f"{prefix}{name}"
        with file.open("rb") as plain, gzip.open(f"{file}.gz", "wb") as handle:
            shutil.copyfileobj(plain, handle)
        file.unlink()
    return tmp_path


ALL = ("matrix.mtx", "features.tsv", "barcodes.tsv")


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"columns": 1},
        {"genes": "features.tsv", "columns": 3, "packed": ALL},
        {"prefix": "GSM1_", "packed": ("barcodes.tsv",)},
    ],
    ids=["v2", "one column", "v3 gzipped", "prefix, partly gzipped"],
)
def test_folder(small, tmp_path, how):
    adata = read(_folder(tmp_path, small[:50], **how))
    assert list(adata.obs_names) == list(small.obs_names[:50])
    assert list(adata.var_names) == list(small.var_names)
    assert ("ensembl_id" in adata.var) == (how.get("columns") != 1)
    assert same_counts(counts_of(adata), small.X[:50])


def test_folder_with_two_samples_asks_which(small, tmp_path):
    _folder(tmp_path, small[:20], prefix="a_")
    _folder(tmp_path, small[20:50], prefix="b_")
    with pytest.raises(InputError, match="2 matrices"):
        read(tmp_path)
    assert read(tmp_path / "b_matrix.mtx").n_obs == 30


def test_folder_whose_files_do_not_fit(small, tmp_path):
    folder = _folder(tmp_path, small[:20])
    (folder / "barcodes.tsv").write_text("only-one\n")
    with pytest.raises(InputError, match=r"1,500 × 20, but there are 1,500 genes and 1 barcodes"):
        read(folder)
    (folder / "barcodes.tsv").unlink()
    with pytest.raises(InputError, match=r"there is no barcodes\.tsv"):
        read(folder)


def test_folder_that_declares_more_than_it_holds(small, tmp_path):
    folder = _folder(tmp_path, small[:20])
    lines = (folder / "matrix.mtx").read_text().splitlines()
    size = next(place for place, line in enumerate(lines) if not line.startswith("%"))
    lines[size] = f"1500 20 {10**12}"
    (folder / "matrix.mtx").write_text("\n".join(lines))
    with pytest.raises(IntegrityError, match="declares 1,000,000,000,000 entries"):
        read(folder)


def test_truncated_gzip_in_a_folder(small, tmp_path):
    folder = _folder(tmp_path, small[:20], packed=("matrix.mtx",))
    data = (folder / "matrix.mtx.gz").read_bytes()
    (folder / "matrix.mtx.gz").write_bytes(data[: len(data) // 2])
    with pytest.raises(IntegrityError, match="damaged"):
        read(folder)
