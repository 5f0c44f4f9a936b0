from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy.sparse import csr_matrix

from pancyte.corpus.checks import counts_of, inspect, require_upright
from pancyte.corpus.datasets import load_dataset
from pancyte.corpus.naming import guess_species, mangled_dates
from pancyte.errors import InputError
from tests.corpus.accidents import log_normalised, same_counts


def test_findings_of_the_demo(pancreas):
    found = inspect(pancreas)
    assert (found.cells, found.genes) == (3274, 21380)
    assert (found.species, found.naming, found.counts_in) == ("human", "symbol", "X")
    assert found.other_names == {"ensembl_id": "ensembl_id"}
    assert found.labels == {"cell_type": 9}
    assert list(found.batches.items())[:2] == [("study", 4), ("donor", 20)]
    assert found.notices == ()
    assert found.would == "read the counts in X"
    assert found.zeros == pytest.approx((pancreas.X.toarray() == 0).mean())
    told = json.loads(json.dumps(found.as_dict()))
    assert told["schema"] == 1
    assert told["species"] == "human"


def test_inspecting_changes_nothing(small):
    before = small.copy()
    inspect(small)
    counts_of(small)
    assert same_counts(small.X, before.X)
    assert small.obs.equals(before.obs)
    assert small.var.equals(before.var)


def test_counts_are_canonical_and_the_input_is_not_touched(small):
    messy = small[:3].copy()
    # entry (0, 0) in two parts, unsorted, with a stored zero
    messy.X = csr_matrix(
        (np.array([2.0, 5.0, 0.0, 1.0]), np.array([9, 0, 4, 0]), np.array([0, 4, 4, 4])),
        shape=messy.shape,
    )
    counts = counts_of(messy)
    assert counts.dtype == np.float32
    assert counts.indices.tolist() == [0, 9]
    assert counts.data.tolist() == [6.0, 2.0]
    assert messy.X.nnz == 4
    assert messy.X.indices.tolist() == [9, 0, 4, 0]


def test_a_named_layer_is_verified_too(small):
    small.layers["logged"] = log_normalised(small).X
    assert same_counts(counts_of(small, layer="X"), small.X)
    with pytest.raises(InputError, match=r"layers\['logged'\] holds log1p"):
        counts_of(small, layer="logged")
    with pytest.raises(InputError, match=r"no matrix 'count'.*X, layers\['logged'\]"):
        counts_of(small, layer="count")


def test_velocity_layers_are_not_counts(small):
    mess = log_normalised(small)
    mess.layers["spliced"] = small.X
    with pytest.raises(InputError, match="no raw counts"):
        counts_of(mess)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda X: X - 1.5, "negative values.*Scaling .* cannot be undone"),
        (lambda X: X * 0, "only zeros.*Every cell is empty"),
        (np.log1p, "log1p|fractions up to"),
    ],
    ids=["scaled", "zeros", "logged without normalisation"],
)
def test_no_counts(small, spoil, said):
    small.X = spoil(small.X.toarray().astype(np.float32))
    with pytest.raises(InputError, match=said):
        counts_of(small)


def test_notices(small):
    dense = small.X.toarray()
    dense[[3, 8]] = 0
    small.X = csr_matrix(dense)
    names = small.var_names.to_list()
    names[5], names[6] = names[4], "2-Sep"
    small.var_names = names
    said = " ".join(inspect(small).notices)
    assert "2 cells are empty" in said
    assert "1 gene names occur again" in said
    assert "1 gene names became dates in a spreadsheet, e.g. '2-Sep'" in said


@pytest.mark.parametrize(
    "date", ["2-Sep", "02-Sep", "Sep-02", "2-Sep-02", "2002-09-02", "2023-03-01 00:00:00", "1-Dec"]
)
def test_dates_are_recognised_and_genes_are_not(pancreas, date):
    assert mangled_dates([*pancreas.var_names, date]) == [date]


def test_upright_and_transposed(small):
    require_upright(small)
    with pytest.raises(InputError, match="rows look like genes"):
        require_upright(small.T)
    # barcodes show it even where no everyday gene is measured
    rare = pd.DataFrame(index=[f"GENE{number}" for number in range(30)])
    counts = csr_matrix(np.ones((205, 30)))
    barcodes = pd.DataFrame(index=[f"ACGTACGTACGTA-{number}" for number in range(205)])
    require_upright(AnnData(counts, obs=barcodes, var=rare))
    with pytest.raises(InputError, match="transposed"):
        require_upright(AnnData(counts.T.tocsr(), obs=rare, var=barcodes))


def test_species_by_ensembl_prefix(small):
    by_id = small.var.set_index("ensembl_id")
    assert guess_species(by_id) == "human"
    by_id.index = by_id.index.str.replace("ENSG", "ENSMUSG") + ".7"
    assert guess_species(by_id) == "mouse"


def test_species_is_unknown_rather_than_guessed():
    # capitals without a name that only humans have could be a pig or a chicken
    assert guess_species(pd.DataFrame(index=["ACTB", "GAPDH", "ALB", "TTR"])) == "unknown"
    assert guess_species(pd.DataFrame(index=["Actb", "Gapdh", "Alb", "Ttr"])) == "unknown"
    assert guess_species(pd.DataFrame(index=["peak_1", "peak_2"])) == "unknown"


def test_species_by_declaration(small):
    small.var_names = [f"FEATURE{number}" for number in range(small.n_vars)]
    del small.var["ensembl_id"]
    assert inspect(small).species == "human"
    del small.obs["organism"]
    assert inspect(small).species == "unknown"
    small.uns["organism"] = "Mus musculus"
    assert inspect(small).species == "mouse"


@pytest.mark.parametrize(
    ("name", "species", "naming"),
    [
        ("baron-human", "human", "symbol"),
        ("baron-mouse", "mouse", "symbol"),
        ("kang-donors", "human", "symbol"),
        ("mouse-brain-merfish", "mouse", "symbol"),
        ("chicken-embryo", "chicken", "symbol"),
        ("zeisel2018-subset", "mouse", "ensembl"),
        ("hgmm-1k", "mixed", "symbol"),
    ],
)
def test_species_of_real_data(data_dir, name, species, naming):
    found = inspect(load_dataset(name))
    assert (found.species, found.naming, found.counts_in) == (species, naming, "X")
