from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy.sparse import csc_matrix

from pancyte.corpus.cells import to_anndata, to_cells
from pancyte.errors import InputError
from tests.corpus.accidents import log_normalised, same_counts


def test_names_order_and_counts_are_kept(small):
    cells = to_cells(small, name="demo")
    assert cells.name == "demo"
    assert cells.obs.index.equals(small.obs_names)
    assert cells.features.index.equals(small.var_names)
    assert cells.counts.dtype == np.float32
    assert same_counts(cells.counts, small.X)


def test_context(small):
    context = to_cells(small).context
    assert list(context["species"].cat.categories) == ["human"]
    assert list(context["modality"].cat.categories) == ["rna"]
    assert (context["assay"] == small.obs["assay"].astype(str)).all()
    del small.obs["assay"]
    assert set(to_cells(small).context["assay"]) == {"unknown"}


def test_other_names_get_their_usual_columns(small):
    small.var = small.var.rename(columns={"ensembl_id": "gene_ids"}) + ".3"
    small.var["feature_name"] = small.var_names
    features = to_cells(small).features
    assert features["ensembl_id"].str.fullmatch(r"ENSG\d{11}").all()
    assert list(features["symbol"]) == list(small.var_names)


def test_storage_does_not_matter(small):
    reference = to_cells(small)
    for matrix in (csc_matrix(small.X), small.X.toarray(), small.X.astype(np.float64)):
        small.X = matrix
        cells = to_cells(small)
        assert cells.counts.has_canonical_format
        assert same_counts(cells.counts, reference.counts)


def test_counts_in_raw_bring_their_own_features(small):
    mess = log_normalised(small)
    mess.raw = small
    cells = to_cells(mess[:, :100].copy())
    assert cells.features.index.equals(small.var_names)
    assert same_counts(cells.counts, small.X)


def test_there_and_back(small):
    cells = to_cells(small)
    back = to_anndata(cells)
    again = to_cells(back)
    assert same_counts(back.X, small.X)
    assert back.obs[small.obs.columns].equals(small.obs)
    assert back.var[small.var.columns].equals(small.var)
    assert set(back.obs) - set(small.obs) == {"species", "modality"}
    assert again.context.equals(cells.context)


def test_only_counts_become_cells(small):
    with pytest.raises(InputError, match="no raw counts"):
        to_cells(log_normalised(small))


def test_reading_needs_neither_torch_nor_scanpy(demo_path):
    code = (
        "import sys, pancyte\n"
        f"pancyte.read({str(demo_path)!r}, quiet=True)\n"
        "print(*{'torch', 'scanpy', 'sklearn', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
