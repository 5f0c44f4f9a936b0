import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from torch import nn

from pancyte.errors import InputError, UsageError
from pancyte.store.build import build
from pancyte.store.corpus import Corpus
from pancyte.training import checkpoint
from pancyte.training.log import LOSS, read_log
from pancyte.training.loop import Loop, LoopConfig
from pancyte.training.optimizer import adamw, rate_at
from pancyte.training.order import minibatches
from pancyte.training.pretrain import prepare, pretrain
from pancyte.training.run import Run, load_run

SMALL = {
    "name": "small",
    "tokenizer": {"name": "continuous", "max_length": 48},
    "backbone": {"name": "transformer", "depth": 1, "width": 32, "dropout": 0.1},
    "objective": {"name": "masked_value"},
    "loop": {
        "steps": 24,
        "tokens_per_step": 1024,
        "checkpoint_every": 5,
        "validate_every": 10,
    },
}


@pytest.fixture
def run_file(tmp_path, corpus):
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump({**SMALL, "train": [str(corpus)]}))
    return path


def start(run_file, out):
    command = [sys.executable, "-m", "pancyte", "pretrain", str(run_file), "-o", str(out)]
    return subprocess.Popen(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL
    )


def test_a_killed_run_ends_with_the_same_bytes(run_file, tmp_path):
    assert start(run_file, tmp_path / "whole").wait() == 0
    killed = tmp_path / "killed"
    log = tmp_path / "killed.run" / LOSS
    process = start(run_file, killed)
    while process.poll() is None and (not log.exists() or len(log.read_text().splitlines()) < 9):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not killed.exists()
    assert start(run_file, killed).wait() == 0
    assert log.read_bytes() == (tmp_path / "whole.run" / LOSS).read_bytes()
    name = "model.safetensors"
    assert (killed / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_labels_do_not_enter(run_file, tmp_path, cells_file):
    import anndata as ad

    adata = ad.read_h5ad(cells_file)
    shuffled = np.random.default_rng(0).permutation(adata.obs["cell_type"].to_numpy())
    adata.obs["cell_type"] = pd.Categorical(shuffled)
    adata.write_h5ad(tmp_path / "shuffled.h5ad")
    other = tmp_path / "other.yaml"
    other.write_text(yaml.safe_dump({**SMALL, "train": [str(tmp_path / "shuffled.h5ad")]}))
    one = pretrain(load_run(run_file), tmp_path / "one")
    two = pretrain(load_run(other), tmp_path / "two")
    pairs = zip(one.backbone.parameters(), two.backbone.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_it_learns_more_than_the_gene_mean(tmp_path, cells_file):
    longer = {**SMALL["loop"], "steps": 150, "tokens_per_step": 2048, "validate_every": 150}
    run = Run.model_validate({**SMALL, "train": [str(cells_file)], "loop": longer})
    scores = pretrain(run, tmp_path / "model").card.training
    assert scores["held out value"] < scores["trivial value"]


def test_damaged_checkpoint_is_passed_over(tmp_path):
    module = nn.Linear(3, 2)
    optimizer = adamw([module], rate=0.1, decay=0.0)
    held = checkpoint.Held(module, optimizer)
    for step in (1, 2):
        module(torch.ones(1, 3)).sum().backward()
        optimizer.step()
        checkpoint.save(tmp_path, step, held, {"scores": {}})
        if step == 1:
            first = module.weight.detach().clone()
    damaged = tmp_path / "step-000000002" / "state.safetensors"
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    state = checkpoint.restore(tmp_path, held)
    assert state["step"] == 1
    assert torch.equal(module.weight, first)


def test_nan_in_the_weights_stops_the_run_and_names_the_cells(tmp_path, cells_file):
    run = Run.model_validate({**SMALL, "train": [str(cells_file)]})
    _, model, train, held_out = prepare(run)
    loop = Loop(model, train, held_out, config=LoopConfig(steps=3), folder=tmp_path / "run")
    with torch.no_grad():
        model.objective.norm.weight[0] = float("nan")
    with pytest.raises(
        InputError,
        match=r"Step 1: the loss is nan; the weights objective.norm.weight .*cells '.*' of cells",
    ):
        loop.run()


def test_every_cell_once_an_epoch_within_budget():
    lengths = np.random.default_rng(0).integers(0, 90, 1000)
    cut = minibatches(lengths, 400, seed=1, epoch=2)
    rows = np.concatenate(cut)
    assert sorted(rows) == np.flatnonzero(lengths).tolist()
    assert all(len(rows) * (lengths[rows].max() + 1) <= 400 for rows in cut)
    again = minibatches(lengths, 400, seed=1, epoch=2)
    assert all((a == b).all() for a, b in zip(cut, again, strict=True))
    other = minibatches(lengths, 400, seed=1, epoch=3)
    assert not np.array_equal(rows[:50], np.concatenate(other)[:50])


def test_rate_rises_then_falls():
    rates = [rate_at(step, peak=1.0, warmup=10, steps=100) for step in range(100)]
    assert rates[9] == 1.0
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.1, abs=1e-3)


def test_embedding_tables_do_not_decay():
    table, matrix = nn.Embedding(4, 2), nn.Linear(2, 2)
    decaying, spared = adamw([table, matrix], rate=0.1, decay=0.5).param_groups
    assert [p.shape for p in decaying["params"]] == [(2, 2)]
    assert len(spared["params"]) == 2


def test_log_is_a_table(run_file, tmp_path):
    pretrain(load_run(run_file), tmp_path / "model")
    table = read_log(tmp_path / "model.run")
    assert table["loss"].notna().sum() == 24
    assert table["held_out_value"].notna().sum() == 3
    card = json.loads((tmp_path / "model" / "config.json").read_text())["card"]
    assert card["trained_on"][0]["name"] == "cells"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lopp": {}}, "lopp: extra inputs"),
        ({"train": []}, "train: list should have at least 1"),
        ({"loop": {"stepz": 3}}, "stepz"),
    ],
)
def test_mistakes_in_a_run_file_are_named(tmp_path, change, message):
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump({**SMALL, "train": ["demo-pancreas"], **change}))
    with pytest.raises(InputError, match=message):
        load_run(path)


def test_objective_must_fit_the_tokenizer(cells_file):
    run = Run.model_validate({**SMALL, "train": [str(cells_file)], "objective": "masked_gene"})
    with pytest.raises(UsageError, match="works on rank values"):
        prepare(run)


def test_another_run_in_the_folder_is_not_continued(run_file, tmp_path):
    run = load_run(run_file)
    first = pretrain(run, tmp_path / "model")
    other = run.model_copy(update={"loop": replace(run.loop, seed=3)})
    with pytest.raises(UsageError, match="another run"):
        pretrain(other, tmp_path / "model")
    assert pretrain(run, tmp_path / "model").fingerprint() == first.fingerprint()
    anew = pretrain(other, tmp_path / "model", restart=True)
    assert anew.fingerprint() != first.fingerprint()


def test_a_corpus_and_its_file_train_the_same_model(run_file, tmp_path, cells_file):
    path = tmp_path / "file.yaml"
    path.write_text(yaml.safe_dump({**SMALL, "train": [str(cells_file)]}))
    one = pretrain(load_run(path), tmp_path / "one")
    two = pretrain(load_run(run_file), tmp_path / "two")
    pairs = zip(one.backbone.parameters(), two.backbone.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert one.card.trained_on[0]["content_hash"] == two.card.trained_on[0]["content_hash"]


def test_a_dataset_of_a_corpus_is_held_out_by_name(tmp_path, pancreas):
    for number, study in enumerate(("Fasolino 2022", "Tritschler 2022")):
        few = pancreas[(pancreas.obs["study"] == study).to_numpy()][::20].copy()
        few[:, ::4].copy().write_h5ad(tmp_path / f"study{number}.h5ad")
    build(tmp_path / "corpus", [str(tmp_path / f"study{number}.h5ad") for number in range(2)])
    corpus, other = str(tmp_path / "corpus"), {"dataset": ["study1"]}
    run = Run.model_validate(
        {
            **SMALL,
            "train": [{"source": corpus, "without": other}],
            "held_out": [{"source": corpus, "keep": other}],
        }
    )
    shown, _, train, held_out = prepare(run)
    assert [part.name for part, _ in shown] == ["study0"]
    assert set(next(train.minibatches())[0].parts) == {0}
    assert len(held_out) == len(Corpus.open(corpus).parts[1])


def test_a_resumed_feed_goes_on_where_it_was(run_file):
    _, _, train, _ = prepare(load_run(run_file))
    whole = [fed.rows.tolist() for (fed,), _ in zip(train.minibatches(), range(40), strict=False)]
    after = [fed.rows.tolist() for (fed,), _ in zip(train.minibatches(15), range(25), strict=False)]
    assert after == whole[15:]


def test_one_process_has_nothing_to_divide(tmp_path, cells_file):
    whole = Run.model_validate({**SMALL, "train": [str(cells_file)]})
    sharded = whole.model_copy(update={"loop": replace(whole.loop, sharded=True)})
    one, two = pretrain(whole, tmp_path / "one"), pretrain(sharded, tmp_path / "two")
    assert one.fingerprint() == two.fingerprint()


def test_shares_are_steps_of_the_same_size(tmp_path, cells_file):
    run = Run.model_validate({**SMALL, "train": [str(cells_file)]})
    shared = run.model_copy(update={"loop": replace(run.loop, shares=3, steps=5)})
    first = pretrain(shared, tmp_path / "one")
    assert pretrain(shared, tmp_path / "two").fingerprint() == first.fingerprint()
    tokens = read_log(tmp_path / "one.run", "speed.jsonl")["tokens"]
    _, _, train, _ = prepare(run)
    whole = [len(fed.tokens.ids) for (fed,), _ in zip(train.minibatches(), range(5), strict=False)]
    assert tokens.tolist() == whole


def test_the_average_of_the_weights_is_the_model(tmp_path, cells_file):
    run = Run.model_validate({**SMALL, "train": [str(cells_file)]})
    averaged = run.model_copy(update={"loop": replace(run.loop, ema=0.9)})
    last, mean = pretrain(run, tmp_path / "last"), pretrain(averaged, tmp_path / "mean")
    start = prepare(run)[1]

    def far(model):
        pairs = zip(model.backbone.parameters(), start.backbone.parameters(), strict=True)
        return sum(float((a - b).detach().square().sum()) for a, b in pairs)

    assert 0 < far(mean) < far(last)
