"""The verbs with an imported model."""

import json
import shutil

import anndata as ad
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import pancyte as pan
from pancyte.cli.main import run


def status_of(*arguments):
    with pytest.raises(SystemExit) as ended:
        run([str(argument) for argument in arguments])
    return ended.value.code


def test_dry_run_shows_the_plan(scgpt_folder, capsys):
    assert status_of("convert", scgpt_folder, "--dry-run") == 0
    shown = capsys.readouterr().out
    assert "scGPT (importer scgpt)" in shown
    assert "flag_encoder.weight: marks genes to generate" in shown
    assert status_of("convert", scgpt_folder, "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["missing"] == {}


def test_a_converted_model_is_the_imported_one(scgpt_folder, tmp_path, capsys):
    assert status_of("convert", scgpt_folder, "-o", tmp_path / "mine") == 0
    assert pan.load(tmp_path / "mine").fingerprint() == pan.load(scgpt_folder).fingerprint()
    assert status_of("convert", scgpt_folder, "-o", tmp_path / "mine") == 2


def test_refusals_have_a_status(scgpt_folder, tmp_path, capsys):
    folder = shutil.copytree(scgpt_folder, tmp_path / "partial")
    weights = torch.load(folder / "best_model.pt", weights_only=True)
    weights.pop("encoder.enc_norm.bias")
    save_file(weights, folder / "best_model.safetensors")
    assert status_of("convert", folder, "--dry-run") == 6
    assert status_of("convert", folder, "-o", tmp_path / "out") == 6
    assert "1 missing: encoder.enc_norm.bias" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    allowed = ("--allow-missing", "encoder.enc_norm.*")
    assert status_of("convert", folder, "-o", tmp_path / "out", *allowed) == 0
    assert status_of("convert", tmp_path / "nowhere", "--dry-run") == 4


@pytest.mark.parametrize("kind", ["scgpt", "V1"])
def test_embed_and_annotate(kind, scgpt_folder, geneformer_folders, pancreas):
    folder = scgpt_folder if kind == "scgpt" else geneformer_folders[kind]
    model, few = pan.load(folder), pancreas[::60].copy()
    pan.tl.embed(few, model)
    (key,) = few.obsm
    assert few.obsm[key].shape == (len(few), model.backbone.width)
    assert pan.tl.history(few)[-1]["pooling"] == model.pooling
    query = few[few.obs["study"] == "Muraro 2016"].copy()
    reference = few[few.obs["study"] != "Muraro 2016"].copy()
    pan.tl.annotate(query, reference=reference, label_key="cell_type", model=model, method="knn")
    assert set(query.obs["pancyte_label"]) <= set(reference.obs["cell_type"])


def test_embedding_a_file_takes_the_models_own_pooling(scgpt_folder, pancreas, tmp_path, capsys):
    few = pancreas[::150].copy()
    few.write_h5ad(tmp_path / "few.h5ad")
    out = tmp_path / "out.h5ad"
    assert status_of("embed", tmp_path / "few.h5ad", "-m", scgpt_folder, "-o", out) == 0
    (key,) = ad.read_h5ad(out).obsm
    expected = pan.load(scgpt_folder).embed(few)
    np.testing.assert_allclose(ad.read_h5ad(out).obsm[key], expected, atol=1e-6)


def test_bench_has_its_control(scgpt_folder, pancreas):
    """The benchmark runs an imported model beside the same network with random weights."""
    from pancyte.corpus.cells import to_cells
    from pancyte.tasks.frozen import FrozenModel, RandomWeights

    cells = to_cells(pancreas[::200].copy())
    model = pan.load(scgpt_folder)
    (known,) = FrozenModel(model).embed(cells)
    (random,) = RandomWeights(model).embed(cells, seed=1)
    assert known.shape == random.shape
    assert not np.allclose(known, random)
    np.testing.assert_allclose(np.linalg.norm(random, axis=1), 1, atol=1e-5)
