"""One door to every model."""

from __future__ import annotations

from pathlib import Path

from pancyte.errors import MissingError
from pancyte.models.model import Model


def load(name: str | Path) -> Model:
    """Load a model from its folder.

    Parameters
    ----------
    name
        Path of a folder with ``config.json``, ``model.safetensors`` and ``vocabulary.tsv``.

    Raises
    ------
    MissingError
        If there is no such folder.
    IntegrityError
        If a file is damaged, or a weight is missing or left over.
    """
    folder = Path(name)
    if not folder.is_dir():
        raise MissingError(
            f"There is no model folder {str(name)!r}.",
            fix="Make one with `pancyte pretrain run.yaml`, or check the path.",
        )
    return Model.from_pretrained(folder)
