"""How much a file may unpack to before it is taken for damage, or is too much for this machine."""

from __future__ import annotations

import os
from pathlib import Path

from pancyte.errors import ResourceError

# deflate, the usual filter, cannot pack more than 1,032 bytes into one
MAX_RATIO = 2000
HARMLESS = 64 << 20


def implausible(size: int, stored: int) -> bool:
    """Say whether `stored` bytes cannot hold the `size` bytes they declare."""
    return size > max(HARMLESS, MAX_RATIO * stored)


def require_memory(path: Path | str, size: int, *, fix: str) -> None:
    """Refuse a file whose `size` in bytes, once unpacked, exceeds this machine's memory.

    Raises
    ------
    ResourceError
        With both sizes.
    """
    memory = machine_memory()
    if memory is not None and size > memory:
        raise ResourceError(
            f"{path} unpacks to {gib(size)}; this machine has {gib(memory)}.", fix=fix
        )


def machine_memory() -> int | None:
    """Return this machine's memory in bytes, where the system tells it."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def gib(size: int) -> str:
    """Write a size in bytes for people."""
    return f"{size / 2**30:,.1f} GiB"
