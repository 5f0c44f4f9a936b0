"""The training log: one JSON line a step, cut back exactly when a run resumes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pancyte.training.sinks.sink import Sink

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
    sinks
        Further places that each line goes to.
    silent
        Write nothing: another process does.
    """

    def __init__(self, folder: Path, *, sinks: Sequence[Sink] = (), silent: bool = False) -> None:
        self.folder, self.silent = folder, silent
        self.sinks = () if silent else tuple(sinks)

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *failure: Any) -> None:
        for sink in self.sinks:
            sink.close()

    def cut(self, step: int) -> None:
        """Drop what was written after `step` steps, including a half-written last line."""
        for name in () if self.silent else (LOSS, SPEED):
            path = self.folder / name
            lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
            kept = b"".join(line for line in lines if _step(line) <= step)
            path.write_bytes(kept)
        for sink in self.sinks:
            sink.open(self.folder, step)

    def write(self, name: str, **record: Any) -> None:
        """Append one line."""
        if self.silent:
            return
        with open(self.folder / name, "a", encoding="utf-8") as handle:
            handle.write(json.dumps(record) + "\n")
        step = int(record.pop("step"))
        for sink in self.sinks:
            sink.write(step, {key: float(value) for key, value in record.items()})


def read_log(folder: str | Path, name: str = LOSS) -> pd.DataFrame:
    """Read a run's log as a table with one row per line."""
    return pd.read_json(Path(folder) / name, lines=True)


def _step(line: bytes) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError):
        return float("inf")
