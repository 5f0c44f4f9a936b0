"""Which models are at hand, and which genes they know, without their weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pancyte._settings import settings
from pancyte.errors import MissingError

if TYPE_CHECKING:
    import pandas as pd


def installed() -> list[Path]:
    """List the model folders in ``models`` of the cache folder, sorted by name."""
    return sorted(config.parent for config in settings.cache_dir.glob("models/*/config.json"))


def known_genes(folder: str | Path) -> tuple[str, pd.DataFrame, str]:
    """Return a model's name, its features and its species; also of ``hf:owner/repo``.

    Raises
    ------
    MissingError
        If it is not a model folder.
    """
    from pancyte.models.hub import fetch, is_remote
    from pancyte.tokenizers.vocabulary import Vocabulary

    folder = fetch(str(folder)) if is_remote(str(folder)) else Path(folder)
    try:
        card = json.loads((folder / "config.json").read_text("utf-8"))["card"]
        species = " and ".join(card["species"]) or "unknown"
        return card["name"], Vocabulary.load(folder / "vocabulary.tsv").table, species
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MissingError(
            f"{folder} is not a pancyte model folder: {error}.",
            fix="Give a folder written by `pancyte pretrain` or Model.save_pretrained.",
        ) from None
