"""How a result was made, kept beside it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from pancyte.corpus.canonical import content_hash, fingerprints
from pancyte.errors import UsageError

if TYPE_CHECKING:
    from anndata import AnnData

    from pancyte.models.model import Model
    from pancyte.shapes import Cells

UNS_KEY = "pancyte"


def history(adata: AnnData) -> list[dict[str, Any]]:
    """Return how the results in an AnnData were made, oldest first."""
    return list(json.loads(adata.uns.get(UNS_KEY, "[]")))


def loaded(model: Model | str) -> Model:
    """Load a model unless it is one already."""
    from pancyte.models.load import load

    return load(model) if isinstance(model, str) else model


def facts_of_cells(cells: Cells) -> dict[str, Any]:
    """How many cells, and the hash of their content."""
    return {"cells": len(cells), "content_hash": content_hash(fingerprints(cells))}


def facts_of_model(model: Model) -> dict[str, Any]:
    """Name of a model, and the hash of all that determines its embeddings."""
    return {"name": model.name, "sha256": model.fingerprint()}


def record(adata: AnnData, verb: str, **how: Any) -> None:
    """Add what was done to the history, with the version and the date."""
    if not isinstance(adata.uns.get(UNS_KEY, "[]"), str):
        raise UsageError(f".uns[{UNS_KEY!r}] is taken by something else.", fix="Rename it.")
    date = datetime.now(UTC).isoformat(timespec="seconds")
    entry = {"verb": verb, **how, "pancyte": version("pancyte"), "date": date}
    adata.uns[UNS_KEY] = json.dumps([*history(adata), entry])
