from __future__ import annotations

import numpy as np
import pytest
from anndata import AnnData
from scipy.sparse import csr_matrix

from pancyte._settings import settings
from pancyte.corpus.checks import counts_of
from pancyte.corpus.read import read
from pancyte.errors import InputError
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
