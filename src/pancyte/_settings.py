"""Where pancyte keeps files, which device it computes on, and how much it says."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path


def _default_cache() -> Path:
    base = os.environ.get("PANCYTE_CACHE") or os.environ.get("XDG_CACHE_HOME")
    return Path(base) / "pancyte" if base else Path.home() / ".cache" / "pancyte"


def _default_data() -> Path | None:
    given = os.environ.get("PANCYTE_DATA")
    return Path(given) if given else None


def _default_offline() -> bool:
    return os.environ.get("PANCYTE_OFFLINE", "").lower() in ("1", "on", "yes", "true")


@dataclass
class Settings:
    """User-wide choices; every one can be overridden where it is used.

    Attributes
    ----------
    cache_dir
        Where fetched weights and datasets are kept (``PANCYTE_CACHE``).
    data_dir
        Folder of the larger benchmark datasets, or None (``PANCYTE_DATA``).
    device
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    offline
        Fetch nothing; models on a hub come from the cache or not at all (``PANCYTE_OFFLINE``).
    verbosity
        0 errors only, 1 one line per step, 2 details.
    """

    cache_dir: Path = field(default_factory=_default_cache)
    data_dir: Path | None = field(default_factory=_default_data)
    device: str = "auto"
    offline: bool = field(default_factory=_default_offline)
    verbosity: int = 1


settings = Settings()
