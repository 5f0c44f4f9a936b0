"""What reading says and keeps; what it does with messy files is in test_messy.py."""

from __future__ import annotations

import numpy as np
import pytest

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


def test_no_file(tmp_path, small):
    small.write_h5ad(tmp_path / "near.h5ad")
    with pytest.raises(InputError, match=r"no file .*far.h5ad\. Nearby: near.h5ad"):
        read(tmp_path / "far.h5ad")
