"""`integrate` and `map` on an AnnData, and their commands: what is written and what is refused."""

import json

import anndata
import numpy as np
import pytest

import pancyte as pan
from pancyte.cli.main import run
from pancyte.corpus.cells import to_anndata
from pancyte.errors import InputError, UsageError


@pytest.fixture(scope="module")
def adata(three_studies) -> anndata.AnnData:
    return to_anndata(three_studies)


@pytest.fixture(scope="module")
def path(adata, tmp_path_factory):
    file = tmp_path_factory.mktemp("integrate") / "cells.h5ad"
    adata.write_h5ad(file)
    return file


def test_auto_writes_the_embedding_and_all_evidence(adata, tmp_path, capsys):
    done = pan.tl.integrate(adata, batch_key="study", label_key="cell_type", copy=True)
    assert done is not adata
    assert "X_integrated" not in adata.obsm
    assert done.obsm["X_integrated"].shape[0] == adata.n_obs
    how = pan.tl.history(done)[-1]
    assert how["verb"] == "integrate"
    names = {row["method"] for row in how["evidence"]}
    assert {"pca", "harmony", "combat", "matched", "standardised"} <= names
    assert how["method"] in names
    assert how["judged_by"] == "scIB"
    told = capsys.readouterr().err
    assert "biology" in told
    assert "batch" in told
    figure = pan.pl.integration(done, save=tmp_path / "integration.png")
    shown = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert set(shown) == names
    assert [ax.get_title()[:5] for ax in figure.axes] == ["biolo", "batch", ".6 bi"]
    assert (tmp_path / "integration.png").stat().st_size > 1000
    with pytest.raises(InputError, match="not integrated"):
        pan.pl.integration(adata)


def test_one_method_comes_beside_no_integration(adata):
    done = pan.tl.integrate(adata, batch_key="study", method="matched", copy=True)
    how = pan.tl.history(done)[-1]
    assert how["method"] == "matched"
    assert {row["method"] for row in how["evidence"]} == {"matched", "pca"}
    assert how["judged_by"] == "clusters of each batch"
    again = pan.tl.integrate(adata, batch_key="study", method="matched", copy=True)
    np.testing.assert_array_equal(done.obsm["X_integrated"], again.obsm["X_integrated"])


def test_a_model_can_be_taken_as_it_is_or_corrected(adata):
    few = adata[::3].copy()
    model = pan.load("pancyte-mini")
    pan.tl.integrate(
        few, batch_key="study", method=["zero-shot", "matched"], model=model, label_key="cell_type"
    )
    how = pan.tl.history(few)[-1]
    assert {row["method"] for row in how["evidence"]} == {
        "pca",
        "pancyte-mini",
        "matched(pancyte-mini)",
    }
    assert how["model"]["sha256"] == model.fingerprint()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batch_key": "nope"}, InputError, "no batch column 'nope'"),
        ({"batch_key": "study", "method": "zero-shot"}, UsageError, "needs a model"),
        ({"batch_key": "study", "method": "adversarial"}, UsageError, "tunes a model"),
        ({"batch_key": "study", "method": "harmoni"}, UsageError, "harmony"),
        ({"batch_key": "study", "method": "majority"}, UsageError, "does not integrate"),
        ({"batch_key": "study", "method": "scanvi"}, UsageError, "needs labels"),
        ({"batch_key": "study", "label_key": "study"}, InputError, "None of the 3 cell types"),
    ],
)
def test_mistakes_are_said(adata, options, error, message):
    with pytest.raises(error, match=message):
        pan.tl.integrate(adata, **options)


def test_map_labels_and_leaves_strange_cells_unassigned(adata):
    known = adata[adata.obs["study"] != "Muraro 2016"].copy()
    asked = adata[adata.obs["study"] == "Muraro 2016"].copy()
    counts = asked.X.tolil()
    counts[0] = 0
    asked.X = counts.tocsr()
    pan.tl.map(asked, known, label_key="cell_type")
    right = asked.obs["mapped_label"].astype(str) == asked.obs["cell_type"].astype(str)
    assert right.mean() > 0.7
    assert asked.obs["mapped_label"].iloc[0] == "unassigned: far"
    assert asked.obsm["X_mapped"].shape == (asked.n_obs, 50)
    assert asked.obs["mapped_vote"].between(0, 1).all()
    how = pan.tl.history(asked)[-1]
    assert how["verb"] == "map"
    assert how["reference"]["cells"] == known.n_obs
    with pytest.raises(UsageError, match="label_key"):
        pan.tl.map(asked, known)


def said(capsys, arguments: list[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        run(arguments)
    captured = capsys.readouterr()
    return stop.value.code, captured.out, captured.err


def test_the_commands_write_a_file_and_say_what_they_did(path, tmp_path, capsys):
    out = tmp_path / "out.h5ad"
    options = ["-b", "study", "--label-key", "cell_type", "--method", "matched", "-o", str(out)]
    status, text, _ = said(capsys, ["integrate", str(path), *options, "--json"])
    assert status == 0
    content = json.loads(text)
    assert content["method"] == "matched"
    assert {"biology", "batch"} <= content["evidence"][0].keys()
    assert "X_integrated" in anndata.read_h5ad(out).obsm
    status, _, told = said(capsys, ["integrate", str(path), "-b", "stdy", "-o", str(out)])
    assert status == 2
    assert "--force" in told
    status, _, told = said(capsys, ["integrate", str(path), "-b", "stdy"])
    assert status == 3
    assert "study" in told


def test_a_reference_is_kept_and_mapped_onto_again(path, tmp_path, capsys):
    index, out = tmp_path / "index", tmp_path / "mapped.h5ad"
    kept = ["-r", str(path), "--label-key", "cell_type", "--save-index", str(index)]
    status, text, told = said(capsys, ["map", str(path), *kept, "-o", str(out)])
    assert status == 0
    assert "MB of memory" in told
    assert str(out) in text
    again = ["map", str(path), "-r", str(index), "-o", str(out), "--force", "--json"]
    status, text, _ = said(capsys, again)
    assert status == 0
    assert sum(json.loads(text)["labels"].values()) == anndata.read_h5ad(out).n_obs
    status, _, told = said(capsys, [*again[:-1], "-m", "pancyte-mini"])
    assert status == 6
    assert "made by pca" in told
    status, _, told = said(capsys, ["map", str(path), "-r", str(path), "-o", str(out), "--force"])
    assert status == 2
    assert "--label-key" in told
