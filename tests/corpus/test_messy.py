"""The 25 messy inputs that users bring, by number, and what pancyte does with each.

Each is a realistic accident with real cells. "Tell": handled, and said in one line. "Ask": refused
with the way out. Details of each are tested where the code is.
"""

from __future__ import annotations

import re

import h5py
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy.sparse import csr_matrix

import pancyte as pan
from pancyte.corpus.cells import to_cells
from pancyte.corpus.checks import counts_of, inspect, require_batches
from pancyte.corpus.datasets import load_dataset
from pancyte.corpus.genes import match
from pancyte.corpus.identity import genes
from pancyte.corpus.read import read
from pancyte.corpus.write import prepare_obs, write_h5ad
from pancyte.errors import InputError
from pancyte.models.card import Card
from pancyte.models.model import Model
from pancyte.tasks.dataset import Dataset
from pancyte.tokenizers.continuous import ContinuousTokenizer
from tests.corpus.accidents import (
    as_anndata_06,
    imputed,
    log_normalised,
    same_counts,
    scaled,
    split_features,
    tenx_folder,
    without_ambient,
)


@pytest.fixture(scope="module")
def model(_small: AnnData) -> Model:
    """A human model, untrained: what is tested is what it accepts."""
    return Model.create(
        ContinuousTokenizer().fit(to_cells(_small)),
        backbone={"name": "transformer", "config": {"depth": 1, "width": 16}},
        objective={"name": "masked_value"},
        card=Card("tiny", species=["human"]),
    )


@pytest.fixture
def said(capsys):
    """What was told on stderr since the last look."""
    return lambda: capsys.readouterr().err


@pytest.mark.parametrize("place", ["layer", "raw"])
def test_01_logged_x_with_counts_elsewhere_is_told(small, written, said, place):
    mess = log_normalised(small)
    if place == "layer":
        mess.layers["UMIs"] = small.X
    else:
        mess.raw = small
    adata = read(written(mess))
    assert same_counts(counts_of(adata), small.X)
    assert same_counts(adata.layers["counts"], small.X)
    assert same_counts(adata.X, mess.X)
    told = said()
    found = "layers['UMIs']" if place == "layer" else "raw"
    assert f"The counts were in {found}.\n" in told
    assert "X holds log1p-normalised to 10,000 per cell; the counts in layers['counts']" in told


def test_02_only_logged_values_are_asked_about_and_never_turned_back(small, written, model, said):
    adata = read(written(log_normalised(small)))
    assert "no counts: X holds log1p-normalised to 10,000 per cell" in said()
    for needs_counts in (counts_of, lambda adata: pan.tl.embed(adata, model)):
        with pytest.raises(InputError, match=r"never guessed .*PCA .* take logged values"):
            needs_counts(adata)


def test_03_counts_are_logged_in_a_copy_and_that_is_told(small, said):
    before = small.X.copy()
    pan.pp.log_normalise(small)
    assert same_counts(small.X, before)
    assert np.allclose(small.layers["log1p"].toarray(), log_normalised(small).X.toarray())
    assert "X holds counts; a copy was brought to 10,000 per cell and log1p." in said()


@pytest.mark.parametrize("target", [1e3, 1e4, 1e6])
def test_04_another_target_sum_is_rescaled_and_not_logged_twice(small, said, target):
    mess = log_normalised(small, target)
    pan.pp.log_normalise(mess)
    expected = log_normalised(small).X.toarray()
    assert np.allclose(mess.layers["log1p"].toarray(), expected, atol=1e-4)
    assert f"log1p-normalised to {target:,.0f} per cell" in said()
    # of a part of the genes nobody can tell the total
    with pytest.raises(InputError, match="nothing that can be brought to 10,000 per cell"):
        pan.pp.log_normalise(log_normalised(small, target)[:, 200:800].copy())


def test_05_scaled_values_are_refused_unless_counts_are_beside_them(small, written, data_dir):
    mess = scaled(small)
    with pytest.raises(InputError, match=r"X holds negative values.*Scaling .* cannot be undone"):
        counts_of(read(written(mess), quiet=True))
    mess.raw = small
    assert same_counts(counts_of(read(written(mess), quiet=True)), small.X)
    real = read(data_dir / "pbmc68k_reduced" / "10x_pbmc68k_reduced.h5ad", quiet=True)
    with pytest.raises(InputError, match=r"X holds negative values.*raw holds log1p"):
        counts_of(real)


def test_06_the_first_of_several_causes_is_told_with_what_was_tried(small):
    mess = scaled(small)
    mess.layers["logged"] = log_normalised(small).X
    mess.raw = log_normalised(small, 1e6)
    tried = r"X holds negative.*layers\['logged'\] holds log1p.*raw holds log1p.* 1,000,000"
    with pytest.raises(InputError, match=rf"no raw counts: {tried}.*Scaling"):
        counts_of(mess)


def test_07_ambient_corrected_counts_are_taken_and_that_is_told(pancreas, said, tmp_path):
    corrected = without_ambient(pancreas[::16].copy())
    corrected.write_h5ad(tmp_path / "corrected.h5ad")
    adata = read(tmp_path / "corrected.h5ad")
    assert "The counts have fractions, as after removal of ambient RNA" in said()
    assert np.allclose(counts_of(adata).toarray(), corrected.X.toarray())


def test_08_imputed_values_are_refused(small, model):
    mess = imputed(small[:, :300].copy())
    with pytest.raises(InputError, match=r"after imputation.*Use the counts from before"):
        pan.tl.embed(mess, model)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_09_missing_values_are_counted_and_the_first_is_named(small, written, value):
    counts = small.X.astype(np.float32).toarray()
    counts[[12, 12, 40], [34, 35, 7]] = value
    small.X = csr_matrix(counts)
    where = f"cell '{small.obs_names[12]}', gene '{small.var_names[34]}'"
    with pytest.raises(InputError, match=f"3 NaN or infinite values, the first in {where}"):
        counts_of(read(written(small), quiet=True))


def test_10_empty_cells_and_genes_are_kept_and_that_is_told(small, written, model, said):
    counts = small.X.toarray()
    counts[[3, 9]], counts[:, 5] = 0, 0
    query = small.copy()
    query.X = csr_matrix(counts)
    query = read(written(query))
    assert query.shape == small.shape
    assert "2 cells are empty; they are kept and cannot be labelled." in said()
    pan.tl.annotate(query, reference=small, label_key="cell_type", model=model, method="logistic")
    assert "2 cells have no count of a gene that the model knows" in said()
    assert query.obs["pancyte_label"].iloc[[3, 9]].tolist() == ["unassigned: empty"] * 2
    assert (query.obs["pancyte_label"] == "unassigned: empty").sum() == 2
    assert not query.obsm["X_tiny"][[3, 9]].any()


@pytest.mark.parametrize(("rows", "columns"), [(0, 1500), (205, 0), (0, 0)])
def test_11_nothing_is_said_in_a_plain_sentence(small, written, rows, columns):
    with pytest.raises(InputError, match=f"no (cells|genes).*{rows} cells × {columns:,} genes"):
        read(written(small[:rows, :columns].copy()))


def test_12_a_transposed_matrix_is_asked_about(small, written):
    path = written(small.T.copy())
    with pytest.raises(InputError, match=r"transposed.*--transpose"):
        read(path)
    assert same_counts(counts_of(read(path, transpose=True, quiet=True)), small.X)


def test_13_ids_and_symbols_are_mapped_and_the_share_is_told(small, model, said):
    by_symbol = pan.tl.embed(small, model, copy=True)
    assert said() == ""
    by_id = AnnData(small.X, obs=small.obs, var=pd.DataFrame(index=small.var["ensembl_id"]))
    without_ids = model.tokenizer.vocabulary.table[[]]
    found = match(by_id.var, without_ids)
    assert found.overlap_of_data > 0.97
    pan.pp.map_genes(by_id, to="symbol", species="human")
    assert "of 1,500 genes have a current symbol" in said()
    pan.tl.embed(by_id, model)
    known = np.isin(small.var_names, by_id.var_names).mean()
    assert known > 0.95
    assert np.corrcoef(by_id.obsm["X_tiny"].ravel(), by_symbol.obsm["X_tiny"].ravel())[0, 1] > 0.98


def test_14_versions_are_stripped_and_collisions_summed_and_that_is_told(small, said):
    ids = small.var["ensembl_id"].to_numpy(str)
    twice = split_features(small, [f"{name}.{version}" for version in (3, 12) for name in ids])
    vocabulary = pd.DataFrame(index=ids)
    found = match(twice.var, vocabulary)
    assert same_counts(found.project(counts_of(twice)), counts_of(small))
    notices = " ".join(inspect(twice).notices)
    assert f"Gene ids carry versions, e.g. '{ids[0]}.3'; they are stripped" in notices
    assert "1,500 gene names occur again; matching adds up their counts." in notices
    pan.pp.map_genes(twice, to="ensembl")
    assert "1,500 summed into another" in said()
    assert same_counts(twice[:, ids].X, small.X)


def test_15_old_symbols_are_resolved_and_ambiguous_ones_told(pancreas, said):
    table = genes("human").set_index("symbol")
    old = {"MARCHF6": "MARCH6", "SEPTIN7": "SEPT7", "SEPTIN2": "SEPT2", "H2AZ1": "H2AFZ"}
    assert all(name in table.loc[new, "previous"].split("|") for new, name in old.items())
    current = pancreas[::60].copy()
    pan.pp.map_genes(current, to="symbol")
    assert set(old) <= set(current.var_names)
    aged = current.copy()
    aged.var_names = [old.get(name, name) for name in aged.var_names]
    said()
    pan.pp.map_genes(aged, to="symbol")
    assert "SEPT2 (SEPTIN2 or SEPTIN6)" in said()
    resolved = [name for name in old if name != "SEPTIN2"]
    assert same_counts(aged[:, resolved].X, current[:, resolved].X)
    assert "SEPT2" in aged.var_names


@pytest.mark.parametrize("name", ["baron-mouse", "paul15", "moor-intestine", "zeisel2018-subset"])
def test_16_mouse_cells_on_a_human_model_are_refused(data_dir, small, model, name):
    mouse = load_dataset(name)[:50].copy()
    refusal = r"\(mouse\) are in the model's vocabulary of 1,\d+ \(human\)(?s:.)*to_species"
    with pytest.raises(InputError, match=refusal):
        pan.tl.embed(mouse, model)
    with pytest.raises(InputError, match=refusal):
        pan.tl.annotate(mouse, reference=small, label_key="cell_type", model=model)
    assert "X_tiny" not in mouse.obsm
    assert "pancyte_label" not in mouse.obs
    pan.tl.embed(pan.pp.to_species(mouse, "human", copy=True), model)


def test_16_mouse_cells_in_a_benchmark_are_a_failure_and_not_a_score(data_dir, small, model):
    mouse = load_dataset("baron-mouse")[::10].copy()
    asked = Dataset(to_cells(small), label_key="cell_type", query=to_cells(mouse, name="mouse"))
    results = pan.benchmark([model], tasks=["annotation"], datasets=[asked], seeds=[0])
    rows = results.table[results.table["method"] == "tiny"]
    assert results.failed
    assert rows["value"].isna().all()
    assert rows["error"].str.contains(r"\(mouse\) are in the model's .*\(human\).*to_species").all()


def test_16_a_species_that_shares_symbols_is_told(data_dir, model, said):
    chicken = load_dataset("chicken-embryo")[:50].copy()
    pan.tl.embed(chicken, model)
    told = said()
    assert "(chicken) are in the model's vocabulary" in told
    assert "(human)" in told
    assert "results may be poor" in told


def test_17_two_references_in_one_file_are_asked_about(data_dir, model):
    barnyard = load_dataset("hgmm-1k")
    found = inspect(barnyard)
    assert found.species == "mixed"
    assert found.would == "stop and ask for one reference's genes: --genome hg19 or --genome mm10"
    assert "several references: hg19, mm10; use one at a time" in " ".join(found.notices)
    with pytest.raises(InputError, match=r"Read the file with genome='hg19' \(--genome hg19\)"):
        pan.tl.embed(barnyard, model)


@pytest.mark.parametrize(("genome", "species"), [("hg19", "human"), ("mm10", "mouse")])
def test_17_one_reference_is_kept_if_asked_for(data_dir, written, model, said, genome, species):
    barnyard = load_dataset("hgmm-1k")
    expected = barnyard[:, barnyard.var_names.str.startswith(genome)]
    path = written(barnyard)
    adata = read(path, genome=genome)
    others = barnyard.n_vars - expected.n_vars
    assert f"Kept {expected.n_vars:,} genes of {genome}; left out {others:,} others." in said()
    assert f"{genome}_" + adata.var_names[0] == expected.var_names[0]
    assert not adata.var_names.str.startswith(f"{genome}_").any()
    assert same_counts(counts_of(adata), counts_of(expected))
    assert inspect(adata).species == species
    with pytest.raises(InputError, match=r"No gene is of the reference 'mm9'.* are hg19, mm10"):
        read(path, genome="mm9")


def test_18_repeated_gene_names_are_summed_and_that_is_told(small, written, said, model):
    table = model.tokenizer.vocabulary.table
    with pytest.warns(UserWarning, match="not unique"):
        path = written(split_features(small, [*small.var_names] * 2))
    adata = read(path)
    assert "1,500 gene names occur again; matching adds up their counts." in said()
    both = match(adata.var, table).project(counts_of(adata))
    assert same_counts(both, match(small.var, table).project(counts_of(small)))


def test_19_repeated_cell_names_get_their_batch_and_that_is_told(small, written, said):
    small.obs_names = small.obs.groupby("donor", observed=True).cumcount().astype(str).to_numpy()
    names = list(small.obs_names)
    adata = read(written(small))
    assert "all are now prefixed by donor" in said()
    assert adata.obs_names.is_unique
    assert adata.obs["cell_name"].tolist() == names
    assert adata.obs_names[0] == f"{small.obs['donor'].iloc[0]}_{names[0]}"


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
def test_20_every_kind_of_10x_folder_is_just_read_and_its_files_are_told(
    small, tmp_path, said, how
):
    folder = tenx_folder(tmp_path / "run", small[:50], **how)
    (folder / "notes.txt").write_text("not one of them")
    adata = read(folder)
    told = re.search(f"Used (.*) of {folder}", said())
    assert set(told[1].split(", ")) == {file.name for file in folder.glob("*.[mt][ts][xv]*")}
    assert adata.obs_names.tolist() == small.obs_names[:50].tolist()
    assert adata.var_names.tolist() == small.var_names.tolist()
    assert ("ensembl_id" in adata.var) == (how.get("columns") != 1)
    assert same_counts(counts_of(adata), small.X[:50])


def test_21_antibodies_are_set_aside_and_that_is_told(small, tmp_path, said):
    small.var["feature_types"] = ["Gene Expression"] * 1471 + ["Antibody Capture"] * 29
    packed = {"genes": "features.tsv", "columns": 3, "packed": ALL}
    adata = read(tenx_folder(tmp_path / "run", small, **packed))
    assert "Kept 1,471 genes; left out 29 Antibody Capture features." in said()
    assert same_counts(counts_of(adata), small.X[:, :1471])


def test_22_numbers_and_dates_for_names_are_noticed(pancreas, said):
    table = genes("human").drop_duplicates("symbol").set_index("symbol")
    known = [name for name in pancreas.var_names[:3000] if name in table.index]
    known = [name for name in known if table.loc[name, "entrez_id"]]
    cells = pancreas[::60, known].copy()
    cells.var_names = table.loc[known, "entrez_id"].to_numpy()
    del cells.var["ensembl_id"]
    assert "Genes are named by numbers, perhaps Entrez" in " ".join(inspect(cells).notices)
    pan.pp.map_genes(cells, to="symbol", species="human")
    assert cells.var_names.tolist() == known
    assert "100.0% of" in said()
    # what a spreadsheet makes of SEPT7, MARCH6 and SEPT2
    dates = {"SEPTIN7": "7-Sep", "MARCHF6": "6-Mar", "SEPTIN2": "2-Sep"}
    mangled = pancreas[::60].copy()
    pan.pp.map_genes(mangled, to="symbol")
    mangled.var_names = [dates.get(name, name) for name in mangled.var_names]
    notice = " ".join(inspect(mangled).notices)
    assert "3 gene names became dates in a spreadsheet" in notice
    assert "take them from the original file" in notice


def test_23_mixed_columns_become_text_before_any_work(small, tmp_path):
    known = small.obs["donor"].cat.codes % 2
    small.obs["age"] = pd.Series([61 if k else "unknown" for k in known], small.obs_names, object)
    with pytest.raises(TypeError):
        small.write_h5ad(tmp_path / "fails.h5ad")
    assert prepare_obs(small) == ["age"]
    write_h5ad(small, tmp_path / "works.h5ad")
    assert set(read(tmp_path / "works.h5ad", quiet=True).obs["age"]) == {"61", "unknown"}


def test_24_newer_encodings_name_the_version_and_old_ones_are_read(small, written):
    path = written(small)
    with h5py.File(path, "a") as handle:
        handle["obs/cell_type"].attrs["encoding-version"] = "9.0.0"
    with pytest.raises(InputError, match=r"anndata \d.* does not know.*pip install -U"):
        read(path)
    path = written(small)
    as_anndata_06(path)
    adata = read(path, quiet=True)
    assert adata.obs_names.tolist() == small.obs_names.tolist()
    assert same_counts(counts_of(adata), small.X)


@pytest.mark.parametrize(
    ("accident", "words"),
    [("truncated", "is truncated"), ("page", "an HTML page"), ("no X", "no expression matrix")],
)
def test_25_the_real_problem_of_a_file_is_named(small, written, accident, words):
    path = written(small)
    if accident == "truncated":
        path.write_bytes(path.read_bytes()[:100_000])
    elif accident == "page":
        path.write_text("<!DOCTYPE html><html><body>Please sign in</body></html>")
    else:
        with h5py.File(path, "a") as handle:
            del handle["X"]
    with pytest.raises(InputError, match=words):
        read(path)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda obs: obs.drop(columns="study"), "no batch column 'study'"),
        (lambda obs: obs.assign(study=obs["study"].where(obs["assay"] != "CEL-seq2")), "no value"),
        (lambda obs: obs[obs["study"] == "Fasolino 2022"], "one value only, 'Fasolino 2022'"),
    ],
    ids=["missing", "incomplete", "single level"],
)
def test_26_a_batch_column_that_tells_nothing_is_asked_about(pancreas, spoil, words):
    assert set(require_batches(pancreas.obs, "study")) == set(pancreas.obs["study"])
    spoilt = spoil(pancreas.obs)
    with pytest.raises(InputError, match=rf"{words}.*look like batches: donor"):
        require_batches(spoilt, "study")
