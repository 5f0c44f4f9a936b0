"""One door to every model."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from pancyte.errors import MissingError
from pancyte.models.hub import fetch, is_remote
from pancyte.models.model import Model

SHIPPED = Path(str(files("pancyte.models"))) / "shipped"
"""Models that come with the package, a folder each."""


def shipped() -> list[str]:
    """List the names of the models that come with the package."""
    return sorted(path.parent.name for path in SHIPPED.glob("*/config.json"))


def load(name: str | Path) -> Model:
    """Load a model that comes with the package by its name, or any other from its folder.

    Parameters
    ----------
    name
        ``"pancyte-mini"``, the path of a folder with ``config.json``, ``model.safetensors`` and
        ``vocabulary.tsv``, or ``hf:owner/repo`` for a model on a hub (see
        `pancyte.models.hub.fetch`).

    Raises
    ------
    MissingError
        If there is no such folder, or no such model on the hub.
    IntegrityError
        If a file is damaged, or a weight is missing or left over.
    """
    if str(name) in shipped():
        folder = SHIPPED / name
    else:
        folder = fetch(str(name)) if is_remote(str(name)) else Path(name)
    if not folder.is_dir():
        raise MissingError(
            f"There is no model folder {str(name)!r}.",
            fix="Make one with `pancyte pretrain run.yaml`, or check the path. "
            f"With the package come: {', '.join(shipped()) or 'none'}.",
        )
    return Model.from_pretrained(folder)
