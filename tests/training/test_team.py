"""Two processes on a CPU train the model that one trains, and one can go on for the other."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
import yaml
from safetensors.torch import load_file

from pancyte.errors import UsageError
from pancyte.training.log import LOSS, read_log
from pancyte.training.team import Team

RUN = {
    "name": "small",
    "tokenizer": {"name": "continuous", "max_length": 48},
    "backbone": {"name": "transformer", "depth": 2, "width": 32},
    "objective": {"name": "masked_value"},
    "loop": {
        "steps": 8,
        "tokens_per_step": 1024,
        "checkpoint_every": 2,
        "validate_every": 4,
        "shares": 2,
    },
}


@pytest.fixture
def run_file(tmp_path, cells_file):
    def write(**loop):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.yaml"
        run = {**RUN, "train": [str(cells_file)], "loop": {**RUN["loop"], **loop}}
        path.write_text(yaml.safe_dump(run))
        return path

    return write


def start(run_file, out, processes):
    command = [sys.executable, "-m"]
    if processes > 1:
        command += ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m"]
    command += ["pancyte", "pretrain", str(run_file), "-o", str(out), "--device", "cpu"]
    return subprocess.Popen(
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def finish(process):
    _, said = process.communicate()
    assert process.returncode == 0, said.decode()


def kill(process):
    """Kill a process and its workers, which torchrun puts into sessions of their own."""
    workers = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True
    )
    for pid in [*map(int, workers.stdout.split()), process.pid]:
        os.kill(pid, signal.SIGKILL)
    process.communicate()


def weights(folder):
    return load_file(folder / "model.safetensors")


def same(one, two, tolerance):
    one, two = weights(one), weights(two)
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(value, two[name], rtol=0, atol=tolerance)


@pytest.mark.parametrize("sharded", [False, True])
def test_two_processes_train_what_one_does(run_file, tmp_path, sharded):
    path = run_file(sharded=sharded, steps=4)
    finish(start(run_file(steps=4), tmp_path / "one", 1))
    finish(start(path, tmp_path / "two", 2))
    same(tmp_path / "one", tmp_path / "two", 1e-6)
    one, two = (read_log(tmp_path / f"{name}.run", LOSS) for name in ("one", "two"))
    assert abs(one["loss"] - two["loss"]).max() < 1e-5


@pytest.mark.slow
def test_muon_orthogonalises_whole_matrices_when_they_are_sharded(run_file, tmp_path):
    """To bf16, in which Muon computes: sums in another order may be rounded to another number."""
    for name, how in (("one", {}), ("two", {"sharded": True})):
        path = run_file(steps=4, optimizer="muon", **how)
        finish(start(path, tmp_path / name, 1 if name == "one" else 2))
    one, two = (
        read_log(tmp_path / f"{name}.run", LOSS)["loss"].dropna() for name in ("one", "two")
    )
    assert one.std() > 0.1
    assert abs(one - two).max() < 1e-3


@pytest.mark.slow
def test_one_goes_on_for_two_and_two_for_one(run_file, tmp_path):
    path = run_file()
    finish(start(path, tmp_path / "whole", 1))
    for first, second in ((2, 1), (1, 2)):
        out = tmp_path / f"{first}-then-{second}"
        process = start(path, out, first)
        log = tmp_path / f"{out.name}.run" / LOSS
        while not log.exists() or len(log.read_text().splitlines()) < 5:
            assert process.poll() is None
            time.sleep(0.01)
        kill(process)
        finish(start(path, out, second))
        same(tmp_path / "whole", out, 1e-6)


def test_shares_must_be_dealt_out_evenly():
    assert Team(1, 2).shares(4) == [1, 3]
    with pytest.raises(UsageError, match="3 shares of a minibatch cannot be dealt out to 2"):
        Team(0, 2).shares(3)


@pytest.mark.slow
def test_compiled_layers_train_the_same_model(run_file, tmp_path):
    """In a process of its own, as shapes cannot be checked at run time in compiled layers."""
    for name, compiled in (("plain", False), ("compiled", True)):
        finish(start(run_file(compile=compiled), tmp_path / name, 1))
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("plain", "compiled"))
    assert one.keys() == two.keys()
    for key, weights in one.items():
        torch.testing.assert_close(two[key], weights, rtol=0, atol=1e-4)
