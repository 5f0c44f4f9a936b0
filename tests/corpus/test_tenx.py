from __future__ import annotations

import re

import h5py
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy.io import mmwrite
from scipy.sparse import csc_matrix

from pancyte.corpus.checks import counts_of
from pancyte.corpus.read import read
from pancyte.errors import InputError, IntegrityError
from tests.corpus.accidents import same_counts, tenx_folder


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


def test_tenx_h5_of_two_references(small, tmp_path):
    path = tmp_path / "filtered.h5"
    _tenx_h5(path, small[:50], 2)
    with h5py.File(path, "a") as handle:
        handle.copy("GRCh38", "mm10")
    with pytest.raises(InputError, match=r"2 references: GRCh38, mm10.*--genome GRCh38"):
        read(path)
    with pytest.raises(InputError, match=r"2 references: GRCh38, mm10"):
        read(path, genome="hg19")
    adata = read(path, genome="GRCh38")
    assert adata.var_names.equals(small.var_names)
    assert same_counts(counts_of(adata), small.X[:50])


def test_repeated_names_are_no_warning(small, tmp_path):
    small.var["feature_types"] = ["Gene Expression"] * 1400 + ["Antibody Capture"] * 100
    small.var_names = [*small.var_names[:1399], small.var_names[0], *small.var_names[1400:]]
    _tenx_h5(tmp_path / "filtered.h5", small, 3)
    assert read(tmp_path / "filtered.h5").shape == (205, 1400)


@pytest.mark.parametrize(
    ("part", "value", "said"),
    [
        ("barcodes", np.zeros(205), "barcodes holds float64, not text"),
        ("barcodes", np.full(205, b"\xff"), "barcodes holds text that is not UTF-8"),
        ("features/feature_type", np.full(3, b"Gene Expression"), r"has shape \(3,\) for 1,500"),
    ],
)
def test_tenx_h5_with_columns_of_another_kind(small, tmp_path, part, value, said):
    _tenx_h5(tmp_path / "filtered.h5", small, 3)
    with h5py.File(tmp_path / "filtered.h5", "a") as handle:
        del handle[f"matrix/{part}"]
        handle[f"matrix/{part}"] = value
    with pytest.raises(IntegrityError, match=said):
        read(tmp_path / "filtered.h5")


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


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (r"\A(.*\n%?\n?\d+ \d+) \d+", r"\1 7", "declares 7 entries and has more"),
        (r"(?s)\n[^\n]*\n\Z", "\n", "entries and has only"),
        (r"\n\d+ \d+ (\d+)\n\Z", r"\n9999 1 \1\n", "an entry is in row 9,999 of 1,500"),
        (r"\n\d+ \d+ (\d+)\n\Z", r"\n1 0 \1\n", "an entry is in column 0 of 20"),
        (r"\n(\d+ \d+) \d+\n\Z", r"\n\1\n", "is damaged"),
        (r"\n(\d+ \d+) \d+\n\Z", r"\n\1 x\n", "is damaged"),
    ],
)
def test_matrix_whose_entries_are_damaged(small, tmp_path, old, new, said):
    folder = tenx_folder(tmp_path, small[:20])
    text = (folder / "matrix.mtx").read_text()
    damaged = re.sub(old, new, text)
    assert damaged != text
    (folder / "matrix.mtx").write_text(damaged)
    with pytest.raises(IntegrityError, match=said):
        read(folder)


def test_matrix_of_another_kind(small, tmp_path):
    folder = tenx_folder(tmp_path, small[:20])
    mmwrite(folder / "matrix.mtx", small[:20].X.toarray())
    with pytest.raises(InputError, match="of the kind array integer general"):
        read(folder)


def test_folder_with_two_samples_asks_which(small, tmp_path):
    tenx_folder(tmp_path, small[:20], prefix="a_")
    tenx_folder(tmp_path, small[20:50], prefix="b_")
    with pytest.raises(InputError, match="2 matrices"):
        read(tmp_path)
    assert read(tmp_path / "b_matrix.mtx").n_obs == 30


def test_folder_whose_files_do_not_fit(small, tmp_path):
    folder = tenx_folder(tmp_path, small[:20])
    (folder / "barcodes.tsv").write_text("only-one\n")
    with pytest.raises(InputError, match=r"1,500 × 20, but there are 1,500 genes and 1 barcodes"):
        read(folder)
    (folder / "barcodes.tsv").unlink()
    with pytest.raises(InputError, match=r"there is no barcodes\.tsv"):
        read(folder)


def test_folder_that_declares_more_than_it_holds(small, tmp_path):
    folder = tenx_folder(tmp_path, small[:20])
    lines = (folder / "matrix.mtx").read_text().splitlines()
    size = next(place for place, line in enumerate(lines) if not line.startswith("%"))
    lines[size] = f"1500 20 {10**12}"
    (folder / "matrix.mtx").write_text("\n".join(lines))
    with pytest.raises(IntegrityError, match="declares 1,000,000,000,000 entries"):
        read(folder)


def test_truncated_gzip_in_a_folder(small, tmp_path):
    folder = tenx_folder(tmp_path, small[:20], packed=("matrix.mtx",))
    data = (folder / "matrix.mtx.gz").read_bytes()
    (folder / "matrix.mtx.gz").write_bytes(data[: len(data) // 2])
    with pytest.raises(IntegrityError, match="damaged"):
        read(folder)


@pytest.mark.parametrize(
    ("matrix", "genes", "cells", "cells_are_rows", "header"),
    [
        ("matrix.mtx", "features.tsv", "barcodes.tsv", False, False),
        ("cells_x_genes.mtx", "cells_x_genes.genes.txt", "cells_x_genes.barcodes.txt", True, False),
        ("quants_mat.mtx", "quants_mat_cols.txt", "quants_mat_rows.txt", True, False),
        ("DGE.mtx", "all_genes.csv", "cell_metadata.csv", True, True),
        ("GSM1_counts.mtx", "GSM1_genes.csv", "GSM1_cells.csv", False, True),
    ],
    ids=["STARsolo", "kallisto | bustools", "alevin-fry", "Parse", "GEO"],
)
def test_folders_of_other_tools(small, tmp_path, matrix, genes, cells, cells_are_rows, header):
    few = small[:50]
    mmwrite(tmp_path / matrix, csc_matrix(few.X if cells_are_rows else few.X.T))
    table = pd.DataFrame({"gene_id": few.var["ensembl_id"], "gene_name": few.var_names})
    table["genome"] = "GRCh38"
    barcodes = pd.DataFrame({"cell": few.obs_names, "sample": "s1"})
    if not header:
        table, barcodes = table.iloc[:, :2], barcodes.iloc[:, :1]
    for frame, name in ((table, genes), (barcodes, cells)):
        separator = "," if name.endswith("csv") else "\t"
        frame.to_csv(tmp_path / name, sep=separator, header=header, index=False)
    for path in (tmp_path, tmp_path / matrix):
        adata = read(path)
        assert list(adata.obs_names) == list(few.obs_names)
        assert list(adata.var_names) == list(few.var_names)
        assert same_counts(counts_of(adata), few.X)


def test_one_gene_too_many_is_no_header(small, tmp_path):
    folder = tenx_folder(tmp_path, small[:20])
    names = (folder / "genes.tsv").read_text()
    (folder / "genes.tsv").write_text("ENSG00000000003\tTSPAN6\n" + names)
    with pytest.raises(InputError, match=r"1,500 × 20, but there are 1,501 genes and 20 barcodes"):
        read(folder)


def test_folder_within_folders(small, tmp_path):
    inner = tmp_path / "outs" / "filtered_feature_bc_matrix"
    inner.mkdir(parents=True)
    tenx_folder(inner, small[:20])
    assert read(tmp_path).n_obs == 20
    raw = tmp_path / "outs" / "raw_feature_bc_matrix"
    raw.mkdir()
    tenx_folder(raw, small)
    with pytest.raises(InputError, match=r"2 matrices \(outs/filtered_.*, outs/raw_"):
        read(tmp_path)


def test_folder_of_something_else(tmp_path):
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(InputError, match=r"a folder without a matrix\.mtx, and no zarr"):
        read(tmp_path)
