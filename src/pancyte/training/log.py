"""The training log: one JSON line a step, cut back exactly when a run resumes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

LOSS = "loss.jsonl"
"""Step, loss terms and rate: the same bytes for the same run, however often it was killed."""

SPEED = "speed.jsonl"
"""Seconds and tokens per second: never the same twice, and so kept apart."""


class Log:
    """Append-only JSON lines beside a run's checkpoints.

    Parameters
    ----------
    folder
        The run's folder.
    silent
        Write nothing: another process does.
    """

    def __init__(self, folder: Path, *, silent: bool = False) -> None:
        self.folder, self.silent = folder, silent

    def cut(self, step: int) -> None:
        """Drop what was written after `step` steps, including a half-written last line."""
        for name in () if self.silent else (LOSS, SPEED):
            path = self.folder / name
            lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
            kept = b"".join(line for line in lines if _step(line) <= step)
            path.write_bytes(kept)

    def write(self, name: str, **record: Any) -> None:
        """Append one line."""
        if self.silent:
            return
        with open(self.folder / name, "a", encoding="utf-8") as handle:
            handle.write(json.dumps(record) + "\n")


def read_log(folder: str | Path, name: str = LOSS) -> pd.DataFrame:
    """Read a run's log as a table with one row per line."""
    return pd.read_json(Path(folder) / name, lines=True)


def _step(line: bytes) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError):
        return float("inf")
