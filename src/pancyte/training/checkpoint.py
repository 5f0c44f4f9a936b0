"""Checkpoints that are whole or absent, and know when they are damaged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from pancyte import files

KEEP = 2


def save(
    folder: Path, step: int, module: nn.Module, optimizer: torch.optim.Optimizer, state: dict
) -> None:
    """Write weights, optimizer state and position as ``step-…``; drop all but the newest two."""
    tensors = {f"weights.{name}": value for name, value in module.state_dict().items()}
    for index, entry in optimizer.state_dict()["state"].items():
        for name, value in entry.items():
            tensors[f"optimizer.{index}.{name}"] = value
    target = folder / f"step-{step:09d}"
    with files.atomic_path(target) as partial:
        partial.mkdir()
        contiguous = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        save_file(contiguous, partial / "state.safetensors")
        record = {**state, "step": step, "sha256": files.sha256(partial / "state.safetensors")}
        (partial / "state.json").write_text(json.dumps(record), encoding="utf-8")
    for old in _steps(folder)[:-KEEP]:
        shutil.rmtree(old)


def restore(
    folder: Path, module: nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, Any] | None:
    """Load the newest undamaged checkpoint; return its state, or None if there is none."""
    files.sweep_partial(folder / "step-000000000")
    for candidate in reversed(_steps(folder)):
        found = _read(candidate)
        if found is None:
            continue
        state, tensors = found
        module.load_state_dict(_under(tensors, "weights."))
        entries: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in _under(tensors, "optimizer.").items():
            index, name = key.split(".", 1)
            entries.setdefault(int(index), {})[name] = value
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": entries, "param_groups": groups})
        return state
    return None


def _steps(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"))


def _under(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _read(candidate: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]] | None:
    """Return a checkpoint's content, or None if its hash or its format is wrong."""
    try:
        state = json.loads((candidate / "state.json").read_text(encoding="utf-8"))
        if files.sha256(candidate / "state.safetensors") != state["sha256"]:
            return None
        return state, load_file(candidate / "state.safetensors")
    except (OSError, ValueError, KeyError, SafetensorError):
        return None
