from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy.sparse import csr_matrix

import pancyte as pan
from pancyte.cli.main import run
from pancyte.corpus.cells import to_cells
from pancyte.corpus.checks import species_of
from pancyte.corpus.datasets import load_dataset
from pancyte.corpus.identity import genes
from pancyte.errors import InputError, MissingError, UsageError
from pancyte.models.card import Card
from pancyte.models.model import Model
from pancyte.tokenizers.continuous import ContinuousTokenizer
from tests.corpus.accidents import log_normalised, same_counts


@pytest.fixture
def few(pancreas: AnnData) -> AnnData:
    return pancreas[::60].copy()


@pytest.fixture(scope="module")
def models(pancreas: AnnData, tmp_path_factory) -> Path:
    """A cache folder with two untrained human models, one of few genes."""
    cache = tmp_path_factory.mktemp("cache")
    for name, size in (("large", 4000), ("small", 50)):
        cells = to_cells(pancreas[::100, :size].copy())
        Model.create(
            ContinuousTokenizer().fit(cells),
            backbone={"name": "transformer", "config": {"depth": 1, "width": 16}},
            objective={"name": "masked_value"},
            card=Card(name, species=["human"]),
        ).save_pretrained(cache / "models" / name)
    return cache


def test_check_says_which_models_fit(few, models, monkeypatch):
    assert pan.pp.check(few, models=[]).coverage == ()
    monkeypatch.setattr(pan.settings, "cache_dir", models)
    large, small = pan.pp.check(few).coverage
    assert (large.model, large.species, large.verdict) == ("large", "human", "fits")
    assert (small.model, small.genes, small.overlap) == ("small", 50, 1.0)
    detected = np.asarray(few.X.getnnz(axis=0)) > 0
    names = pd.read_csv(models / "models" / "large" / "vocabulary.tsv", sep="\t")["feature"]
    known = few.var_names.isin(names)
    assert (large.shared, large.detected) == ((known & detected).sum(), detected.sum())
    assert large.counts == pytest.approx(few[:, known].X.sum() / few.X.sum())


def test_check_judges_models_as_the_gate_does(few, models):
    mouse = pan.pp.to_species(few, "mouse", copy=True)
    large = models / "models" / "large"
    (fit,) = pan.pp.check(mouse, models=[large]).coverage
    assert fit.verdict == "refused"
    with pytest.raises(InputError, match=f"Only {fit.shared} of {fit.detected:,} detected genes"):
        pan.tl.embed(mouse, str(large))


def test_check_of_values_without_counts(few, models):
    logged = log_normalised(few)
    before = logged.X.copy()
    found = pan.pp.check(logged, models=[models / "models" / "large"])
    assert (found.counts_in, found.target_sum) == (None, pytest.approx(1e4, rel=1e-3))
    assert found.would.startswith("stop where counts are needed. Counts are never guessed")
    assert (found.coverage[0].verdict, found.coverage[0].counts) == ("fits", None)
    assert same_counts(logged.X, before)
    assert json.loads(json.dumps(found.as_dict()))["coverage"][0]["model"] == "large"


def test_check_verifies_the_batch_column(few):
    assert pan.pp.check(few, models=[], batch_key="study").batches["study"] == 4
    with pytest.raises(InputError, match=r"no batch column 'lane'.*study, donor"):
        pan.pp.check(few, models=[], batch_key="lane")


def test_what_is_no_model_is_said(few, tmp_path):
    with pytest.raises(MissingError, match="not a pancyte model folder"):
        pan.pp.check(few, models=[tmp_path])


def test_the_command_reports_the_same(few, models, tmp_path, capsys):
    few.write_h5ad(tmp_path / "few.h5ad")
    given = ["check", str(tmp_path / "few.h5ad"), "-m", str(models / "models" / "large")]
    with pytest.raises(SystemExit, match="0"):
        run([*given, "--json"])
    told = json.loads(capsys.readouterr().out)
    found = pan.pp.check(few, models=[models / "models" / "large"]).as_dict()
    assert {key: told[key] for key in found} == json.loads(json.dumps(found))
    with pytest.raises(SystemExit, match="0"):
        run(given)
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["counts"] == "X: counts"
    assert lines["model"].startswith("large (human, ")
    assert lines["would"] == "read the counts in X"


def test_logged_values_are_written_down(few):
    same = pan.pp.log_normalise(few, copy=True)
    assert "log1p" not in few.layers
    pan.pp.log_normalise(same, layer="log1p", key_added="again")
    assert same_counts(same.layers["log1p"], same.layers["again"])
    assert [entry["verb"] for entry in pan.tl.history(same)] == ["log_normalise"] * 2
    totals = np.expm1(same.layers["log1p"].toarray()).sum(axis=1)
    assert totals == pytest.approx(1e4, rel=1e-4)


@pytest.mark.parametrize("logarithm", [np.log2, np.log10])
def test_other_logarithms_become_the_natural_one(few, logarithm):
    other = few.copy()
    totals = np.asarray(few.X.sum(axis=1)).ravel()
    other.X = csr_matrix(logarithm(1 + few.X.toarray() / totals[:, None] * 5e3))
    pan.pp.log_normalise(other)
    pan.pp.log_normalise(few)
    assert np.allclose(other.layers["log1p"].toarray(), few.layers["log1p"].toarray(), atol=1e-4)


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


def test_names_that_mean_nothing_are_refused(few):
    adata = _named(few, few[:, ["GCG", "INS"]].X, ["14526", "16334"])
    with pytest.raises(InputError, match=r"None of the 2 names is known as a mouse gene.*'14526'"):
        pan.pp.map_genes(adata, to="symbol", species="mouse")
    assert pan.pp.check(adata, models=[]).naming == "numeric"


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
