from __future__ import annotations

import h5py
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData, settings
from scipy.sparse import csc_matrix, csr_matrix

from pancyte.corpus.read import read
from pancyte.errors import InputError, IntegrityError
from tests.corpus.accidents import same_counts


def _half(values: tuple[object, object], kind: str) -> pd.Series:
    return pd.Series(pd.array([*values] * 102 + [values[0]], dtype=kind))


COLUMNS = {
    "whole": _half((1, None), "Int32"),
    "yes or no": _half((True, None), "boolean"),
    "text": _half(("a", "b"), "string"),
    "missing text": _half(("a", None), "string"),
    "ordered": pd.Series(
        pd.Categorical(["low", "high", None] * 68 + ["low"], ["low", "high"], ordered=True)
    ),
    "fraction": pd.Series(np.linspace(0, 1, 205)),
}


@pytest.mark.parametrize("column", COLUMNS)
def test_every_kind_of_column(small, written, column):
    small.obs["column"] = (
        COLUMNS[column].to_numpy(object) if column == "text" else COLUMNS[column].array
    )
    with settings.override(allow_write_nullable_strings=True):
        path = written(small)
    found = read(path).obs["column"]
    given = COLUMNS[column]
    assert list(found.isna()) == list(given.isna())
    assert list(found.dropna()) == list(given.dropna())


@pytest.mark.parametrize(
    "matrix", [csr_matrix, csc_matrix, lambda x: x.toarray()], ids=["csr", "csc", "dense"]
)
def test_every_kind_of_matrix(small, written, matrix):
    given = csr_matrix(small.X)
    small.X = matrix(given)
    assert same_counts(csr_matrix(read(written(small)).X), given)


def test_what_stands_beside_the_counts(small, written):
    small.obsm["frame"] = pd.DataFrame({"x": np.arange(205)}, index=small.obs_names)
    small.obsp["distances"] = csr_matrix(np.eye(205))
    small.uns |= {"nothing": None, "text": np.array(["a", "b"]), "nested": {"number": 1.5}}
    small.uns["record"] = np.array([(1, "a")], dtype=[("x", "i4"), ("y", "U3")])
    adata = read(written(small))
    assert adata.obsm["frame"].equals(small.obsm["frame"])
    assert same_counts(adata.obsp["distances"], small.obsp["distances"])
    assert adata.uns["nothing"] is None
    assert adata.uns["nested"]["number"] == 1.5
    assert adata.uns["record"]["y"][0] == "a"


@pytest.mark.filterwarnings("ignore:Support for Awkward Arrays")
def test_ragged_arrays(small, written):
    awkward = pytest.importorskip("awkward")
    small.obsm["chains"] = awkward.Array([["TRA", "TRB"][: cell % 3] for cell in range(205)])
    adata = read(written(small))
    assert adata.obsm["chains"].to_list() == small.obsm["chains"].to_list()


def _mark(part: str, kind: str, number: str):
    def change(handle: h5py.File) -> None:
        handle[part].attrs.update({"encoding-type": kind, "encoding-version": number})

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            _mark("obs/cell_type", "categorical", "9.0.0"),
            r"encoding categorical 9\.0\.0 at .*anndata>\d",
        ),
        (
            _mark("uns/provenance", "accessor", "0.1.0"),
            r"encoding accessor 0\.1\.0 .*anndata>=0\.14",
        ),
    ],
    ids=["version", "kind"],
)
def test_newer_encoding_names_the_version_needed(small, written, change, said):
    path = written(small)
    with h5py.File(path, "a") as handle:
        change(handle)
    with pytest.raises(InputError, match=said):
        read(path)


def test_as_written_before_anndata_0_7(small, written):
    """Tables were one compound array each, sparse matrices named in another way."""
    path = written(small[:, :300].copy())
    with h5py.File(path, "a") as handle:
        for table, names in (("obs", small.obs_names), ("var", small.var_names[:300])):
            del handle[table]
            width = max(map(len, names))
            handle[table] = np.array([(name,) for name in names], dtype=[("index", f"S{width}")])
        handle["X"].attrs["h5sparse_format"] = "csr"
        handle["X"].attrs["h5sparse_shape"] = handle["X"].attrs["shape"]
        for name in ("encoding-type", "encoding-version", "shape"):
            del handle["X"].attrs[name]
        for name in ("encoding-type", "encoding-version"):
            del handle.attrs[name]
        for name in set(handle) - {"X", "obs", "var"}:
            del handle[name]
    adata = read(path)
    assert list(adata.var_names) == list(small.var_names[:300])
    assert same_counts(adata.X, small.X[:, :300])


def test_a_mask_of_another_length(small, written):
    small.obs["count"] = COLUMNS["whole"].array
    path = written(small)
    with h5py.File(path, "a") as handle:
        mask = handle["obs/count/mask"][:-5]
        del handle["obs/count/mask"]
        handle["obs/count/mask"] = mask
    with pytest.raises(IntegrityError, match="obs/count marks 200 of 205 rows as missing"):
        read(path)


@pytest.fixture
def proteins(small: AnnData) -> AnnData:
    return AnnData(
        np.ones((205, 3), np.float32), obs=small.obs[[]], var=pd.DataFrame(index=list("abc"))
    )


def _write_h5mu(path, modalities: dict[str, AnnData], obs: pd.DataFrame) -> None:
    """The layout of muon.readthedocs.io's specification: modalities below ``mod``."""
    from anndata.io import write_elem

    with h5py.File(path, "w") as handle:
        handle.attrs["encoding-type"] = "MuData"
        write_elem(handle, "obs", obs)
        for name, adata in modalities.items():
            write_elem(handle, f"mod/{name}", adata)


def test_the_rna_modality_of_mudata(small, proteins, tmp_path, capsys):
    labels = small.obs[["cell_type"]].rename(columns={"cell_type": "joint_type"})
    labels["rna:study"] = small.obs["study"]
    _write_h5mu(tmp_path / "cite.h5mu", {"prot": proteins, "rna": small}, labels[::-1])
    adata = read(tmp_path / "cite.h5mu")
    assert same_counts(adata.X, small.X)
    assert list(adata.obs["joint_type"]) == list(small.obs["cell_type"])
    assert "rna:study" not in adata.obs
    assert "Took the modality rna; left out prot." in capsys.readouterr().err


def test_mudata_without_rna_names_its_modalities(small, proteins, tmp_path):
    _write_h5mu(tmp_path / "two.h5mu", {"prot": proteins, "x": small}, small.obs[[]])
    with pytest.raises(InputError, match=r"2 modalities \(prot, x\), and none named rna"):
        read(tmp_path / "two.h5mu")


def test_damage_in_a_modality(small, tmp_path):
    _write_h5mu(tmp_path / "one.h5mu", {"rna": small}, small.obs[[]])
    with h5py.File(tmp_path / "one.h5mu", "a") as handle:
        handle["mod/rna/X/indices"][11] = 1500
    with pytest.raises(IntegrityError, match="mod/rna/X/indices points at 1,500"):
        read(tmp_path / "one.h5mu")


def _write_loom(path, adata: AnnData) -> None:
    with h5py.File(path, "w") as handle:
        handle.attrs["LOOM_SPEC_VERSION"] = "3.0.0"
        dense = adata.X.toarray().T
        handle.create_dataset("matrix", data=dense, chunks=(64, 64), compression="gzip")
        handle.create_dataset("layers/spliced", data=dense, chunks=(64, 64), compression="gzip")
        handle["col_attrs/CellID"] = list(adata.obs_names)
        handle["col_attrs/Clusters"] = np.arange(adata.n_obs)
        handle["row_attrs/Gene"] = list(adata.var_names)
        handle["row_attrs/Accession"] = list(adata.var["ensembl_id"])


def test_loom(small, tmp_path):
    _write_loom(tmp_path / "cells.loom", small)
    adata = read(tmp_path / "cells.loom")
    assert list(adata.obs_names) == list(small.obs_names)
    assert list(adata.var_names) == list(small.var_names)
    assert list(adata.var["Accession"]) == list(small.var["ensembl_id"])
    assert list(adata.obs["Clusters"]) == list(range(205))
    assert same_counts(adata.X, small.X)
    assert same_counts(adata.layers["spliced"], small.X)


def test_loom_whose_parts_do_not_fit(small, tmp_path):
    _write_loom(tmp_path / "cells.loom", small)
    with h5py.File(tmp_path / "cells.loom", "a") as handle:
        del handle["col_attrs/Clusters"]
        handle["col_attrs/Clusters"] = np.arange(200)
    with pytest.raises(IntegrityError, match=r"col_attrs/Clusters has shape \(200,\) for 205 rows"):
        read(tmp_path / "cells.loom")
