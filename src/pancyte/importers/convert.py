"""Pickles become safetensors and JSON once, in another process; the result is kept and hashed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pancyte import files
from pancyte._settings import settings
from pancyte.corpus.worker import apart
from pancyte.errors import IntegrityError

PRODUCTS = {"weights": "model.safetensors", "dictionary": "dictionary.json"}
# PyTorch takes seconds to start on a busy machine; then reading and writing bound the time
PATIENCE = 60
SLOWEST = 5e6


def safe_weights(path: Path) -> Path:
    """Return a safetensors file with the weights of `path`, converted if it is a pickle."""
    return path if path.suffix == ".safetensors" else _converted(path, "weights")


def left_out(weights: Path) -> list[str]:
    """List what a converted checkpoint held besides tensors."""
    record = weights.parent / "source.json"
    return json.loads(record.read_text("utf-8"))["left_out"] if record.is_file() else []


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
