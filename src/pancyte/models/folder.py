"""What a model folder must contain, and the checks it passes before a weight is used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from pancyte import files
from pancyte.errors import IntegrityError, MissingError

FORMAT = 1
PARTS = ("config.json", "model.safetensors", "vocabulary.tsv")
PRIORS = "priors.safetensors"
"""Prior vectors of genes, where the model has any."""


def is_ours(folder: Path) -> bool:
    """Tell pancyte's own folders from those of published models, damaged ones included."""
    if (folder / "vocabulary.tsv").is_file():
        return True
    try:
        return "pancyte" in json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def read_config(folder: Path) -> dict[str, Any]:
    """Read ``config.json`` after checking that the folder is whole and undamaged."""
    missing = [name for name in PARTS if not (folder / name).is_file()]
    if missing:
        raise MissingError(
            f"{folder} is not a pancyte model folder: it lacks {', '.join(missing)}.",
            fix="Give a folder written by `pancyte pretrain` or Model.save_pretrained.",
        )
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        version, sums = config["format"], config["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(
            f"{folder / 'config.json'} is damaged ({error}).", fix="Fetch the model again."
        ) from error
    if version > FORMAT:
        raise MissingError(
            f"{folder} has model format {version}; this pancyte reads up to {FORMAT}.",
            fix="Upgrade with: pip install --upgrade pancyte",
        )
    for name, expected in sums.items():
        if not (folder / name).is_file() or files.sha256(folder / name) != expected:
            raise IntegrityError(
                f"{folder / name} is not the file that was saved (its SHA-256 differs).",
                fix="Fetch the model again.",
            )
    return config


def load_weights(folder: Path, parts: dict[str, nn.Module]) -> None:
    """Load ``model.safetensors`` into the modules; any missing or left-over weight is an error."""
    try:
        weights = load_file(folder / "model.safetensors")
    except (SafetensorError, OSError) as error:
        raise IntegrityError(
            f"{folder / 'model.safetensors'} cannot be read ({error}).",
            fix="Fetch the model again.",
        ) from error
    expected = {
        f"{part}.{name}": tensor.shape
        for part, module in parts.items()
        for name, tensor in module.state_dict().items()
    }
    missing = sorted(expected.keys() - weights.keys())
    extra = sorted(weights.keys() - expected.keys())
    shaped = sorted(n for n in expected.keys() & weights.keys() if weights[n].shape != expected[n])
    if missing or extra or shaped:
        raise IntegrityError(
            f"The weights in {folder} do not fit the network of its config.json: "
            f"missing {missing[:3]}, unknown {extra[:3]}, of another shape {shaped[:3]}.",
            fix="Fetch the model again; a partial load is never made.",
        )
    for part, module in parts.items():
        module.load_state_dict(
            {name: weights[f"{part}.{name}"] for name in module.state_dict()}, strict=True
        )
