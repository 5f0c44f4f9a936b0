"""Checkpoints that are whole or absent, and know when they are damaged."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from pancyte import files
from pancyte.errors import ResourceError
from pancyte.training.muon import MuonAdamW
from pancyte.training.optimizer import Average
from pancyte.training.team import Team

KEEP = 2
TENSORS, RECORD, SEALS = "state.safetensors", "state.json", "sha256.json"
REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


@dataclass(frozen=True)
class Held:
    """What a checkpoint holds.

    Attributes
    ----------
    network, optimizer
        Weights and optimizer, whole or divided among processes.
    average
        The running average of the weights, if there is one.
    team
        The processes; the first one writes.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer | MuonAdamW
    average: Average | None = None
    team: Team = field(default_factory=Team)


def save(folder: Path, step: int, held: Held, state: dict[str, Any]) -> None:
    """Write weights, optimizer state and position as ``step-…``; drop all but the newest two.

    The tensors are whole whatever number of processes trains, so any other number can go on.

    Raises
    ------
    ResourceError
        If the disk is full or refuses to write; older checkpoints are as they were.
    """
    tensors = _tensors(held)
    if held.team.leads:
        target = folder / f"step-{step:09d}"
        with kept_on_failure(folder), files.atomic_path(target) as partial:
            partial.mkdir()
            _write(tensors, partial / TENSORS)
            record = {**state, "step": step}
            (partial / RECORD).write_text(json.dumps(record), encoding="utf-8")
            seals = {name: files.sha256(partial / name) for name in (TENSORS, RECORD)}
            (partial / SEALS).write_text(json.dumps(seals), encoding="utf-8")
        for old in _steps(folder)[:-KEEP]:
            shutil.rmtree(old)
    held.team.wait()


@contextmanager
def kept_on_failure(folder: Path) -> Iterator[None]:
    """Turn a disk that refuses to be written to into a message that says what is left.

    Parameters
    ----------
    folder
        Where the checkpoints are.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        steps = _steps(folder)
        left = (
            f"the checkpoint of step {int(steps[-1].name[5:])} is kept"
            if steps
            else "there is no checkpoint yet"
        )
        raise ResourceError(
            f"The disk refuses to be written to ({os.strerror(error.errno)}); {left}.",
            fix="Make room, then start the same command again: it goes on from there.",
        ) from error


def restore(folder: Path, held: Held) -> dict[str, Any] | None:
    """Load the newest undamaged checkpoint; return its state, or None if there is none."""
    if held.team.leads:
        files.sweep_partial(folder / "step-000000000")
    held.team.wait()
    for candidate in reversed(_steps(folder)):
        found = _read(candidate)
        if found is None:
            continue
        state, tensors = found
        _load(held, tensors)
        return state
    return None


def whole_weights(network: nn.Module) -> dict[str, Tensor]:
    """Return a network's weights, whole, also if they are divided among processes."""
    return {name: _whole(value) for name, value in network.state_dict().items()}


def _tensors(held: Held) -> dict[str, Tensor]:
    """Collect every tensor, whole, under ``weights.``, ``optimizer.`` and ``average.``."""
    tensors = {f"weights.{name}": value for name, value in whole_weights(held.network).items()}
    for index, entry in held.optimizer.state_dict()["state"].items():
        for name, value in entry.items():
            tensors[f"optimizer.{index}.{name}"] = _whole(value)
    if held.average:
        for name, value in held.average.values.items():
            tensors[f"average.{name}"] = _whole(value)
    return tensors


def _load(held: Held, tensors: dict[str, Tensor]) -> None:
    held.network.load_state_dict(
        {
            name: _divided(tensors[f"weights.{name}"], like)
            for name, like in held.network.state_dict().items()
        }
    )
    groups = held.optimizer.param_groups
    parameters = [parameter for group in groups for parameter in group["params"]]
    entries: dict[int, dict[str, Tensor]] = {}
    for key, value in _under(tensors, "optimizer.").items():
        index, name = key.split(".", 1)
        like = parameters[int(index)]
        # a step count is a number of its own, moments are shaped as the weights
        moment = _divided(value, like) if value.shape == like.shape else value
        entries.setdefault(int(index), {})[name] = moment
    kept = held.optimizer.state_dict()["param_groups"]
    held.optimizer.load_state_dict({"state": entries, "param_groups": kept})
    if held.average:
        for name, value in held.average.values.items():
            value.copy_(_divided(tensors[f"average.{name}"], value))


def _whole(value: Tensor) -> Tensor:
    """Gather a tensor that may be divided among processes."""
    whole = value.full_tensor() if isinstance(value, DTensor) else value
    return whole.detach().cpu().contiguous()


def _divided(value: Tensor, like: Tensor) -> Tensor:
    """Divide a whole tensor as another one is, if that is."""
    if not isinstance(like, DTensor):
        return value
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)


def _steps(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"))


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _read(candidate: Path) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """Return a checkpoint's content, or None if a hash or a format is wrong."""
    try:
        state = json.loads((candidate / RECORD).read_text(encoding="utf-8"))
        if (candidate / SEALS).exists() or "sha256" not in state:
            seals = json.loads((candidate / SEALS).read_text(encoding="utf-8"))
        else:
            # an earlier version sealed the tensors only
            seals = {TENSORS: state["sha256"], RECORD: files.sha256(candidate / RECORD)}
        if {name: files.sha256(candidate / name) for name in (TENSORS, RECORD)} != seals:
            return None
        return state, load_file(candidate / TENSORS)
    except (OSError, ValueError, SafetensorError):
        return None


def _write(tensors: dict[str, Tensor], path: Path) -> None:
    """Write tensors; a system that refuses is an ``OSError``, as it is anywhere else."""
    try:
        save_file(tensors, path)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if not number:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error
