"""pancyte: foundation models for single-cell omics, with the evidence for or against them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    "read": ("pancyte.corpus.read", "read"),
    "settings": ("pancyte.settings", "settings"),
}
_MODULES = ("pp", "tl", "pl")

__all__ = [*_PUBLIC, *_MODULES]

if TYPE_CHECKING:
    from pancyte.corpus.read import read as read
    from pancyte.settings import settings as settings


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        module, attribute = _PUBLIC[name]
        return getattr(importlib.import_module(module), attribute)
    if name in _MODULES:
        return importlib.import_module(f"pancyte.{name}")
    raise AttributeError(f"module 'pancyte' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
