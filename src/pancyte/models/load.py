"""One door to every model."""

from __future__ import annotations

from pathlib import Path

from pancyte.errors import MissingError
from pancyte.models.hub import fetch, is_remote
from pancyte.models.model import Model


def load(name: str | Path) -> Model:
    """Load a model from its folder.

    Parameters
    ----------
    name
        Path of a folder with ``config.json``, ``model.safetensors`` and ``vocabulary.tsv``, or
        ``hf:owner/repo`` for a model on a hub (see `pancyte.models.hub.fetch`).

    Raises
    ------
    MissingError
        If there is no such folder, or no such model on the hub.
    IntegrityError
        If a file is damaged, or a weight is missing or left over.
    """
    folder = fetch(str(name)) if is_remote(str(name)) else Path(name)
    if not folder.is_dir():
        raise MissingError(
            f"There is no model folder {str(name)!r}.",
            fix="Make one with `pancyte pretrain run.yaml`, or check the path.",
        )
    return Model.from_pretrained(folder)
