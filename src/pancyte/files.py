"""Writes that leave the old file or the new one, and hashes that say which."""

from __future__ import annotations

import ctypes
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(3)}.partial")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def alive(process: int) -> bool:
    """Say whether a process exists."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _exchange(new: Path, old: Path) -> None:
    """Swap two folders in one step where the system can (Linux ``renameat2``), else in two."""
    at_cwd, exchange = -100, 2
    swap = getattr(ctypes.CDLL(None), "renameat2", None)
    if swap and swap(at_cwd, os.fsencode(new), at_cwd, os.fsencode(old), exchange) == 0:
        return
    retired = _beside(old)
    old.rename(retired)
    new.rename(old)
    retired.rename(new)


def sweep_partial(path: Path) -> None:
    """Remove what a killed write of `path` left beside it."""
    for stray in path.parent.glob(f".{path.name}.*.partial"):
        owner = stray.name.removeprefix(f".{path.name}.").split("-")[0]
        if owner.isdigit() and alive(int(owner)):
            continue
        _remove(stray)


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a path to write to; it becomes `path` only if the block succeeds.

    The data are on disk (``fsync``) before the rename, so a killed process leaves the
    old file or the new one. Works for a file and for a folder.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep_partial(path)
    partial = _beside(path)
    try:
        yield partial
        for item in sorted(partial.rglob("*")) if partial.is_dir() else ():
            if item.is_file():
                _sync(item)
        _sync(partial)
        if partial.is_dir() and path.is_dir():
            _exchange(partial, path)
            shutil.rmtree(partial)
        else:
            partial.replace(path)
        _sync(path.parent)
    except BaseException:
        _remove(partial)
        raise


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` atomically."""
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file as hexadecimal text."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
