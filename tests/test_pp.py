from __future__ import annotations

import json

import numpy as np
import pytest
from anndata import AnnData
from scipy.sparse import csr_matrix

import pancyte as pan
from pancyte.corpus.checks import species_of
from pancyte.corpus.datasets import load_dataset
from pancyte.corpus.identity import genes
from pancyte.errors import InputError, UsageError


@pytest.fixture
def few(pancreas: AnnData) -> AnnData:
    return pancreas[::60].copy()


def _named(adata: AnnData, counts, names: list[str]) -> AnnData:
    made = AnnData(csr_matrix(counts), obs=adata.obs.copy())
    made.var_names = names
    return made


def test_symbols_to_ids_and_back(few, capsys):
    mapped = pan.pp.map_genes(few, to="ensembl", copy=True)
    assert "have an Ensembl id" in capsys.readouterr().err
    assert mapped.X.sum() == few.X.sum()
    own = dict(zip(few.var_names, few.var["ensembl_id"], strict=True))
    alone = [name for name in mapped.var["original_name"] if "|" not in name]
    ids = mapped.var.reset_index().set_index("original_name").loc[alone].iloc[:, 0]
    known = ids[ids.str.startswith("ENSG")]
    assert np.mean([own[name] == target for name, target in known.items()]) > 0.98
    pan.pp.map_genes(mapped, to="symbol")
    back = mapped.var_names == mapped.var["original_name"]
    assert back.mean() > 0.96
    # what is not back has a newer symbol, the same as by the direct way
    direct = pan.pp.map_genes(few, to="symbol", copy=True)
    assert np.isin(mapped.var_names, direct.var_names).mean() > 0.995
    assert set("|".join(mapped.var["original_name"]).split("|")) == set(few.var_names)


def test_a_changed_name_keeps_its_counts(few):
    table = genes("human")
    pairs = table[(table["previous"] != "") & table["symbol"].isin(few.var_names)]
    pairs = pairs[~pairs["previous"].str.contains("|", regex=False)]
    every = table["previous"].str.split("|").explode()
    others = {*table["symbol"], *table["aliases"].str.split("|").explode()}
    unique = ~pairs["previous"].isin(every[every.duplicated(keep=False)])
    pairs = pairs[unique & ~pairs["previous"].isin(others)].iloc[:200]
    old = dict(zip(pairs["symbol"], pairs["previous"], strict=True))
    aged = few[:, list(old)].copy()
    fresh = aged.copy()
    aged.var_names = [old[name] for name in aged.var_names]
    pan.pp.map_genes(aged, to="symbol", species="human")
    assert aged.var_names.tolist() == fresh.var_names.tolist()
    assert (aged.X != fresh.X).nnz == 0
    assert aged.var["original_name"].tolist() == list(old.values())


@pytest.mark.parametrize("form", ["csr", "csc", "dense", "int16", "float32"])
def test_names_of_one_gene_are_summed(few, form):
    counts = csr_matrix(few[:, ["GCG", "GCG", "INS"]].X)
    counts = {"csc": counts.tocsc, "dense": counts.toarray}.get(form, lambda: counts)()
    counts = counts.astype(form) if form in ("int16", "float32") else counts
    adata = AnnData(counts, obs=few.obs.copy())
    adata.var_names = ["GCG", "ENSG00000115263.15", "INS"]
    adata.layers["counts"] = adata.X.copy()
    pan.pp.map_genes(adata, to="symbol", species="human")
    assert adata.var_names.tolist() == ["GCG", "INS"]
    assert adata.var["original_name"].tolist() == ["GCG|ENSG00000115263.15", "INS"]
    expected = few[:, ["GCG", "INS"]].X.toarray().astype(np.int64) * [2, 1]
    for matrix in (adata.X, adata.layers["counts"]):
        assert type(matrix) is type(counts)
        assert (np.asarray(csr_matrix(matrix).toarray()) == expected).all()


def test_sums_beyond_the_type_are_kept(few):
    adata = AnnData(csr_matrix(np.full((2, 2), 30_000, np.int16)))
    adata.var_names = ["GCG", "ENSG00000115263.15"]
    pan.pp.map_genes(adata, to="symbol", species="human")
    assert adata.X.toarray().tolist() == [[60_000], [60_000]]


def test_only_counts_are_summed(few):
    adata = _named(few, np.log1p(few[:, ["GCG", "GCG"]].X.toarray() / 3), ["GCG", "GCG"])
    adata.var_names = ["GCG", "ENSG00000115263.15"]
    before = adata.copy()
    with pytest.raises(InputError, match=r"1 features are further names .* X holds"):
        pan.pp.map_genes(adata, to="symbol", species="human")
    assert adata.var.equals(before.var)
    alone = adata[:, :1].copy()
    pan.pp.map_genes(alone, to="ensembl", species="human")
    assert alone.var_names.tolist() == ["ENSG00000115263"]


def test_unclear_names_stay_and_are_told(few, capsys):
    adata = _named(few, few[:, ["GCG", "INS", "TTR"]].X, ["SEPT2", "not-a-gene", "MARCH1"])
    pan.pp.map_genes(adata, to="symbol", species="human")
    assert adata.var_names.tolist() == ["SEPT2", "not-a-gene", "MARCHF1"]
    told = capsys.readouterr().err
    assert "1 ambiguous and left: SEPT2 (SEPTIN2 or SEPTIN6)" in told
    assert "33.3% of 3 genes" in told


def test_views_are_made_real_and_the_original_is_left(few):
    view = few[:, :500]
    pan.pp.map_genes(view, to="ensembl")
    assert view.var_names[0].startswith("ENSG")
    assert few.var_names[0] == "MALAT1"


def test_what_was_done_is_written_down(few):
    pan.pp.map_genes(few, to="ensembl")
    entry = pan.tl.history(few)[-1]
    assert entry["verb"] == "map_genes"
    assert sum(entry["how"].values()) == few.n_vars + entry["summed"]
    few.uns["pancyte"] = {"mine": 1}
    with pytest.raises(UsageError, match="taken"):
        pan.pp.map_genes(few, to="symbol")
    assert json.dumps(few.uns["pancyte"])


def test_an_unknown_species_is_asked_for(few):
    adata = _named(few, few[:, ["GCG", "INS"]].X, ["GCG", "INS"])
    del adata.obs["organism"]
    with pytest.raises(InputError, match=r"species is unknown.*uns\['organism'\]"):
        pan.pp.map_genes(adata, to="ensembl")
    with pytest.raises(InputError, match="'Rattus norvegicus' is rat"):
        pan.pp.map_genes(adata, to="ensembl", species="Rattus norvegicus")
    adata.uns["organism"] = "human"
    pan.pp.map_genes(adata, to="ensembl")
    assert adata.var_names.tolist() == ["ENSG00000115263", "ENSG00000254647"]


def test_positions_do_not_depend_on_the_naming(few):
    placed = pan.pp.gene_positions(few, copy=True)
    assert "chromosome" not in few.var
    by_id = few.copy()
    by_id.var_names = few.var["ensembl_id"].to_numpy()
    pan.pp.gene_positions(by_id)
    both = placed.var["chromosome"].notna().to_numpy() & by_id.var["chromosome"].notna().to_numpy()
    assert both.mean() > 0.8
    same = placed.var["start"].to_numpy()[both] == by_id.var["start"].to_numpy()[both]
    assert same.mean() > 0.99
    assert placed.var.loc["GCG", ["chromosome", "start"]].tolist() == ["chr2", 162_142_873]


@pytest.mark.parametrize("ids", [False, True])
def test_human_to_mouse_and_back(few, ids):
    if ids:
        pan.pp.map_genes(few, to="ensembl")
    mouse = pan.pp.to_species(few, "mouse", copy=True)
    assert species_of(mouse, mouse.var) == "mouse"
    assert 0.5 < mouse.n_vars / few.n_vars < 1
    assert mouse.var_names.is_unique
    gcg = "ENSMUSG00000000394" if ids else "Gcg"
    assert (mouse[:, gcg].X != few[:, "ENSG00000115263" if ids else "GCG"].X).nnz == 0
    human = pan.pp.to_species(mouse, "human", copy=True)
    assert species_of(human, human.var) == "human"
    # Ensembl's mouse symbols are not always MGI's current ones
    assert human.n_vars == mouse.n_vars if ids else human.n_vars > 0.998 * mouse.n_vars
    assert human[:, human.var_names.isin(few.var_names)].n_vars > 0.95 * mouse.n_vars
    same = human.var_names[:2000].intersection(few.var_names)
    alone = [name for name in same if "|" not in human.var.loc[name, "original_name"]]
    assert (human[:, alone].X != few[:, alone].X).nnz == 0


def test_the_mouse_pancreas_becomes_human(data_dir):
    mouse = load_dataset("baron-mouse")
    human = pan.pp.to_species(mouse, "human", copy=True)
    assert species_of(human, human.var) == "human"
    assert human.n_vars > 0.7 * mouse.n_vars
    assert (human[:, "GCG"].X != mouse[:, "Gcg"].X).nnz == 0
    assert {"GCG", "SST", "PPY"} <= set(human.var_names)


def test_orthologs_need_counts_and_another_species(few):
    with pytest.raises(InputError, match="human already"):
        pan.pp.to_species(few, "human")
    with pytest.raises(UsageError, match="'rat'"):
        pan.pp.to_species(few, "rat")
    few.layers["scaled"] = few.X.toarray() - 1.5
    with pytest.raises(InputError, match=r"layers\['scaled'\] holds negative values"):
        pan.pp.to_species(few, "mouse")
