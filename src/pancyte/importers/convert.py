"""Pickles become safetensors and JSON once, in another process; the result is kept and hashed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pancyte import files
from pancyte._settings import settings
from pancyte.corpus.worker import apart
from pancyte.errors import IntegrityError

PRODUCTS = {
    "weights": "model.safetensors",
    "names": "names.json",
    "dictionary": "dictionary.json",
}
# Seconds of computing: importing PyTorch takes 10, and 5 MB a second is a tenth of the usual
PATIENCE = 60
SLOWEST = 5e6


@dataclass(frozen=True)
class SafeWeights:
    """Weights that can be read without running anything.

    Attributes
    ----------
    source
        The file as it came.
    path
        The same weights as safetensors; `source` itself if it is that.
    sha256
        Hash of `source`.
    left_out
        What it held besides tensors.
    settings
        What it said of its network, as text and numbers.
    """

    source: Path
    path: Path
    sha256: str
    left_out: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)


def safe_weights(path: Path) -> SafeWeights:
    """Make safetensors of the weights in `path`, if it is a pickle that was not seen before.

    Raises
    ------
    IntegrityError
        If it is damaged, or asks for more than tensors.
    """
    if path.suffix == ".safetensors":
        return SafeWeights(path, path, files.sha256(path))
    product = _converted(path, "weights")
    record = json.loads((product.parent / "source.json").read_text("utf-8"))
    left_out, told = tuple(record["left_out"]), record.get("settings", {})
    return SafeWeights(path, product, record["source_sha256"], left_out, told)


def read_names(path: Path) -> list[str]:
    """List the names of the tensors of a PyTorch dictionary, in their order in the file.

    Raises
    ------
    IntegrityError
        If it is damaged, or asks for more than tensors.
    """
    return list(json.loads(_converted(path, "names").read_text("utf-8")))


def read_dictionary(path: Path) -> dict[str, Any]:
    """Read a dictionary of text to text or numbers from JSON, or from a pickle through JSON.

    Raises
    ------
    IntegrityError
        If it is damaged, or a pickle that asks for more than numbers.
    """
    plain = path if path.suffix == ".json" else _converted(path, "dictionary")
    try:
        found = json.loads(plain.read_text("utf-8"))
    except ValueError as error:
        raise IntegrityError(f"{path} is damaged ({error}).", fix="Fetch it again.") from error
    if not isinstance(found, dict):
        raise IntegrityError(f"{path} holds no dictionary.", fix="Fetch the model again.")
    return found


def _converted(path: Path, kind: str) -> Path:
    """Convert a pickle, or find what it was converted to; the copy must be what was written."""
    source = files.sha256(path)
    folder = settings.cache_dir / "converted" / source
    if kind == "names":
        folder = folder.with_name(f"{source}-names")
    product, record = folder / PRODUCTS[kind], folder / "source.json"
    if product.is_file() and record.is_file():
        if json.loads(record.read_text("utf-8"))["sha256"] == files.sha256(product):
            return product
        raise IntegrityError(
            f"{product} is not the file that was written (its SHA-256 differs).",
            fix=f"Remove {folder}; it is made again from {path}.",
        )
    with files.atomic_path(folder) as partial:
        partial.mkdir()
        made = partial / PRODUCTS[kind]
        patience = PATIENCE + path.stat().st_size / SLOWEST
        report = apart("pancyte.importers.unpack", path, [kind, str(made)], patience=patience)
        facts = {"source": str(path), "source_sha256": source, "sha256": files.sha256(made)}
        (partial / "source.json").write_text(json.dumps(facts | report, indent=1), "utf-8")
    return product
