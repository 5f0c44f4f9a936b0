"""pancyte: foundation models for single-cell omics, with the evidence for or against them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    "Model": ("pancyte.models.model", "Model"),
    "benchmark": ("pancyte.benchmark.benchmark", "benchmark"),
    "load": ("pancyte.models.load", "load"),
    "load_dataset": ("pancyte.corpus.datasets", "load_dataset"),
    "plan": ("pancyte.models.load", "plan"),
    "pretrain": ("pancyte.training.pretrain", "pretrain"),
    "read": ("pancyte.corpus.read", "read"),
    "settings": ("pancyte._settings", "settings"),
}
_MODULES = ("pp", "tl", "pl", "testing")

__all__ = [*_PUBLIC, *_MODULES]

if TYPE_CHECKING:
    from pancyte._settings import settings as settings
    from pancyte.benchmark.benchmark import benchmark as benchmark
    from pancyte.corpus.datasets import load_dataset as load_dataset
    from pancyte.corpus.read import read as read
    from pancyte.models.load import load as load
    from pancyte.models.load import plan as plan
    from pancyte.models.model import Model as Model
    from pancyte.training.pretrain import pretrain as pretrain


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        module, attribute = _PUBLIC[name]
        return getattr(importlib.import_module(module), attribute)
    if name in _MODULES:
        return importlib.import_module(f"pancyte.{name}")
    raise AttributeError(f"module 'pancyte' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
