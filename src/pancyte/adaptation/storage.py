"""What was adapted, in a small folder that finds its way back to the base it was made for."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from pancyte import files
from pancyte.adaptation.adapter import Adapter
from pancyte.errors import IntegrityError, MissingError, UsageError

if TYPE_CHECKING:
    from pancyte.models.model import Model

WEIGHTS, SETTINGS = "adapter.safetensors", "adapter.json"


def save_adapter(adapter: Adapter, folder: str | Path) -> None:
    """Write what was trained, and the hash of the base it belongs to.

    Parameters
    ----------
    adapter
        Fitted, of any kind but ``"knn"``, which would be its reference cells.
    folder
        Replaced as a whole. A few hundred KB for ``"lora"`` and ``"linear"``; as large as the
        base for ``"full"``.

    Raises
    ------
    UsageError
        If the adapter is of kind ``"knn"`` or not fitted.
    """
    if adapter.kind == "knn" or not hasattr(adapter, "head"):
        raise UsageError(
            "Only a fitted adapter other than knn can be saved.",
            fix="Call fit first; for knn, keep the reference cells.",
        )
    trained = {name: v.detach().cpu().contiguous() for name, v in adapter.trained().items()}
    settings = {
        "kind": adapter.kind,
        "rank": adapter.rank,
        "classes": [str(name) for name in adapter.classes_],
        "base": {"name": adapter.model.name, "sha256": adapter.model.fingerprint()},
        "history": adapter.history_,
        "best_epoch": adapter.best_epoch_,
        "pancyte": version("pancyte"),
    }
    with files.atomic_path(folder) as partial:
        partial.mkdir()
        (partial / WEIGHTS).write_bytes(save(trained))
        settings["sha256"] = files.sha256(partial / WEIGHTS)
        (partial / SETTINGS).write_text(json.dumps(settings, indent=1), encoding="utf-8")


def load_adapter(folder: str | Path, model: Model) -> Adapter:
    """Put a saved adapter on its base.

    Raises
    ------
    MissingError
        If the folder is not one.
    IntegrityError
        If it is damaged, or was made for another model than `model`.
    """
    place = Path(folder)
    if not (place / SETTINGS).is_file() or not (place / WEIGHTS).is_file():
        raise MissingError(
            f"{place} is not an adapter: it lacks {SETTINGS} or {WEIGHTS}.",
            fix="Give a folder written by save_adapter.",
        )
    try:
        settings = json.loads((place / SETTINGS).read_text(encoding="utf-8"))
        whole = files.sha256(place / WEIGHTS) == settings["sha256"]
        weights = load((place / WEIGHTS).read_bytes()) if whole else {}
        base, kind = settings["base"], settings["kind"]
        adapter = Adapter(model, kind, rank=settings["rank"])
        adapter.classes_ = np.array(settings["classes"])
        adapter.history_, adapter.best_epoch_ = settings["history"], settings["best_epoch"]
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise IntegrityError(f"{place} is damaged ({error}).", fix="Fit it again.") from error
    if not whole:
        raise IntegrityError(f"{place / WEIGHTS} is not what was saved.", fix="Fit it again.")
    if base["sha256"] != model.fingerprint():
        raise IntegrityError(
            f"{place} was made for {base['name']} ({base['sha256'][:12]}…), not for {model.name} "
            f"({model.fingerprint()[:12]}…).",
            fix="Load the base it was made for.",
        )
    adapter.head = nn.Linear(model.backbone.width, len(adapter.classes_))
    if kind != "linear":
        adapter.open_network()
    _fill(adapter, weights, place)
    return adapter


def _fill(adapter: Adapter, weights: dict[str, torch.Tensor], place: Path) -> None:
    trained = adapter.trained()
    shapes = {name: value.shape for name, value in trained.items()}
    if shapes != {name: value.shape for name, value in weights.items()}:
        raise IntegrityError(
            f"The weights in {place} do not fit what its {SETTINGS} says.", fix="Fit it again."
        )
    with torch.no_grad():
        for name, value in trained.items():
            value.copy_(weights[name])
    adapter.network.eval()
