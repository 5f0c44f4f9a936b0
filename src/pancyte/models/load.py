"""One door to every model."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from pancyte import registry
from pancyte.errors import MissingError, UsageError
from pancyte.models.folder import is_ours
from pancyte.models.hub import fetch, is_remote
from pancyte.models.model import Model

if TYPE_CHECKING:
    from pancyte.importers.importer import Importer
    from pancyte.importers.plan import KeyPlan

SHIPPED = Path(str(files("pancyte.models"))) / "shipped"
"""Models that come with the package, a folder each."""


def shipped() -> list[str]:
    """List the names of the models that come with the package."""
    return sorted(path.parent.name for path in SHIPPED.glob("*/config.json"))


def load(
    name: str | Path,
    *,
    vocabulary: str | Path | None = None,
    allow_missing: Sequence[str] = (),
    allow_unused: Sequence[str] = (),
) -> Model:
    """Load a model: one that comes with pancyte, or from its folder or a hub, also a published one.

    Parameters
    ----------
    name
        ``"pancyte-mini"``; the path of a folder with ``config.json``, ``model.safetensors`` and
        ``vocabulary.tsv``, or of one that an importer recognises, such as scGPT's or Geneformer's;
        or ``hf:owner/repo`` for a model on a hub (see `pancyte.models.hub.fetch`).
    vocabulary
        Folder with a published model's vocabulary, where it is not beside the weights.
    allow_missing, allow_unused
        Weights, by name or pattern, that a published model's folder may lack (they stay random) or
        that may be left unused. See `plan`.

    Raises
    ------
    MissingError
        If there is no such folder, or no such model on the hub.
    IntegrityError
        If a file is damaged, or a weight is missing or left over.
    """
    folder = _folder(name)
    importer = _importer(folder)
    if importer is None:
        return Model.from_pretrained(folder)
    return importer.load(
        folder,
        vocabulary=Path(vocabulary) if vocabulary else None,
        allow_missing=allow_missing,
        allow_unused=allow_unused,
    )


def plan(name: str | Path, *, vocabulary: str | Path | None = None) -> KeyPlan:
    """Say what `load` would make of a published model's folder, without loading it.

    Parameters
    ----------
    name, vocabulary
        As in `load`.

    Returns
    -------
    Every matched, reshaped, missing, unused and ignored key, the vocabulary and its version, and
    the tokenizer it implies.

    Raises
    ------
    MissingError
        If there is no such folder, or no importer recognises it.
    UsageError
        If it is a pancyte model.
    """
    folder = _folder(name)
    if is_ours(folder):
        raise UsageError(
            f"{folder} is a pancyte model: it is loaded whole or not at all.",
            fix="Use pancyte.load.",
        )
    importer = _importer(folder)
    if importer is None:
        raise MissingError(
            f"No importer recognises {folder}.",
            fix=f"There are importers for {', '.join(registry.names('importers'))}.",
        )
    return importer.plan(folder, vocabulary=Path(vocabulary) if vocabulary else None)


def _folder(name: str | Path) -> Path:
    if str(name) in shipped():
        return SHIPPED / name
    folder = fetch(str(name)) if is_remote(str(name)) else Path(name)
    if not folder.is_dir():
        raise MissingError(
            f"There is no model folder {str(name)!r}.",
            fix="Make one with `pancyte pretrain run.yaml`, or check the path. "
            f"With the package come: {', '.join(shipped()) or 'none'}.",
        )
    return folder


def _importer(folder: Path) -> Importer | None:
    """Find the registered importer that recognises a folder that is not pancyte's own."""
    if is_ours(folder):
        return None
    for name in registry.names("importers"):
        importer: Importer = registry.get("importers", name)()
        if importer.recognises(folder):
            return importer
    return None
