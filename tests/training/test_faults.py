"""Kills, full disks, damaged checkpoints, numbers that are not: what is left is always whole."""

import json
import multiprocessing
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import time

import pytest
import torch
from torch import nn

from pancyte import files
from pancyte.errors import InputError, ResourceError
from pancyte.training import checkpoint
from pancyte.training.blame import culprits
from pancyte.training.log import LOSS
from pancyte.training.loop import Loop
from pancyte.training.network import Network
from pancyte.training.optimizer import adamw
from pancyte.training.pretrain import prepare, pretrain

FORK = multiprocessing.get_context("fork")


def saved(folder, steps):
    module = nn.Linear(3, 2)
    held = checkpoint.Held(module, adamw([module], rate=0.1, decay=0.0))
    weights = {}
    for step in range(1, steps + 1):
        module(torch.ones(1, 3)).sum().backward()
        held.optimizer.step()
        checkpoint.save(folder, step, held, {"scores": {"held_out_value": 0.5}, "cost": {}})
        weights[step] = module.weight.detach().clone()
    return held, weights


def damage(path, rng):
    content = bytearray(path.read_bytes())
    kind = rng.choice(["flip", "cut", "grow", "empty", "gone"])
    if kind == "flip":
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        del content[rng.randrange(len(content)) :]
    elif kind == "grow":
        content += bytes([rng.randrange(256)])
    elif kind == "empty":
        content.clear()
    path.unlink()
    if kind != "gone":
        path.write_bytes(content)


def test_200_damaged_checkpoints_are_200_times_passed_over(tmp_path):
    held, weights = saved(tmp_path / "whole", 2)
    rng = random.Random(0)
    names = sorted(item.name for item in (tmp_path / "whole" / "step-000000002").iterdir())
    assert len(names) == 3
    for number in range(200):
        folder = tmp_path / "damaged"
        shutil.copytree(tmp_path / "whole", folder)
        damage(folder / "step-000000002" / names[number % 3], rng)
        state = checkpoint.restore(folder, held)
        assert state["step"] == 1, number
        assert torch.equal(held.network.weight, weights[1])
        shutil.rmtree(folder)
    assert checkpoint.restore(tmp_path / "whole", held)["step"] == 2


def test_a_checkpoint_of_an_earlier_version_is_taken(tmp_path):
    held, weights = saved(tmp_path, 2)
    folder = tmp_path / "step-000000002"
    (folder / "sha256.json").unlink()
    assert checkpoint.restore(tmp_path, held)["step"] == 1
    record = json.loads((folder / "state.json").read_text())
    record["sha256"] = files.sha256(folder / "state.safetensors")
    (folder / "state.json").write_text(json.dumps(record))
    assert checkpoint.restore(tmp_path, held)["step"] == 2
    assert torch.equal(held.network.weight, weights[2])


def finished(run, out):
    child = FORK.Process(target=pretrain, args=(run, out))
    child.start()
    return child


@pytest.mark.slow
def test_50_kills_and_the_same_bytes(small, tmp_path):
    """Killed 50 times at random moments, the runs end with the same log and weights, to the bit."""
    run = small(steps=24, checkpoint_every=5, validate_every=10)
    began = time.monotonic()
    whole = finished(run, tmp_path / "whole")
    whole.join()
    assert whole.exitcode == 0
    taken = time.monotonic() - began
    log = (tmp_path / "whole.run" / LOSS).read_bytes()
    weights = (tmp_path / "whole" / "model.safetensors").read_bytes()
    rng = random.Random(0)
    kills = ends = 0
    while kills < 50:
        out = tmp_path / f"killed-{ends}"
        child = finished(run, out)
        child.join(rng.uniform(0, taken))
        if child.exitcode is None and kills < 50:
            os.kill(child.pid, signal.SIGKILL)
            kills += 1
        child.join()
        if out.exists():
            assert (tmp_path / f"{out.name}.run" / LOSS).read_bytes() == log
            assert (out / "model.safetensors").read_bytes() == weights
            ends += 1
    last = finished(run, tmp_path / f"killed-{ends}")
    last.join()
    assert (tmp_path / f"killed-{ends}.run" / LOSS).read_bytes() == log
    assert (tmp_path / f"killed-{ends}" / "model.safetensors").read_bytes() == weights


@pytest.fixture
def tiny_disk(tmp_path):
    """A disk of 3 MB, which only root can make."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    yield folder
    # tensors that were read from there may still be mapped
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_leaves_the_last_checkpoint(tiny_disk, small, tmp_path):
    run = small(checkpoint_every=1)
    pretrain(run, tmp_path / "whole")
    with pytest.raises(
        ResourceError, match=r"No space left .* checkpoint of step 1 is kept"
    ) as end:
        pretrain(run, tiny_disk / "model")
    assert end.value.exit_code == 5
    assert not list(tiny_disk.rglob("*.partial"))
    subprocess.run(["mount", "-o", "remount,size=30m", str(tiny_disk)], check=True)
    again = pretrain(run, tiny_disk / "model")
    log = (tiny_disk / "model.run" / LOSS).read_bytes()
    assert log == (tmp_path / "whole.run" / LOSS).read_bytes()
    assert again.card.training["steps"] == run.loop.steps


def test_a_file_that_may_not_grow_leaves_no_half_checkpoint(tmp_path):
    held, weights = saved(tmp_path, 2)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(ResourceError, match="checkpoint of step 2 is kept"):
            checkpoint.save(tmp_path, 3, held, {"scores": {}})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["step-000000001", "step-000000002"]
    assert checkpoint.restore(tmp_path, held)["step"] == 2
    assert torch.equal(held.network.weight, weights[2])


def test_a_value_that_is_not_finite_names_its_cell(small, tmp_path):
    run = small()
    _, model, train, held_out = prepare(run)
    loop = Loop(model, train, held_out, config=run.loop, folder=tmp_path / "run")
    (fed,) = next(train.minibatches())
    fed.tokens.values[fed.tokens.offsets[4] : fed.tokens.offsets[5]] = float("inf")
    name = train.pick.corpus.parts[0].names()[fed.rows[4]]
    told = rf"Step 1: .*cells '{re.escape(name)}' of cells, whose values are not finite"
    loop.own = [0]
    with pytest.raises(InputError, match=told):
        loop._gradients(0, [fed])


def test_a_cell_is_found_by_its_loss_alone(small):
    _, model, train, _ = prepare(small())
    network, tokens = Network(model.backbone, model.objective), train.first()
    first = tokens.ids[tokens.offsets[3]]
    shared = [row for row in range(len(tokens)) if first in ids_of(tokens, row)]
    table = network.backbone.embedding.feature

    def asked(cells):
        loss = torch.stack(list(network(*network.asked(cells, seed=0, place=0)).values())).sum()
        return loss * table.weight.sum() * float("inf") if (cells.ids == first).any() else loss

    rows, why = culprits(network, tokens, asked)
    assert rows.tolist() == shared
    assert "alone" in why


def ids_of(tokens, row):
    return tokens.ids[tokens.offsets[row] : tokens.offsets[row + 1]]
