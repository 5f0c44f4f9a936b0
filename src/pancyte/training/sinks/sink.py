"""The contract of a sink: a further place that a training log is written to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar


class Sink(ABC):
    """Takes the numbers of each step to where people look at them.

    Subclasses set `name` and `Config`, and import their library only in `open`. ``loss.jsonl`` and
    ``speed.jsonl`` are written whatever sinks there are.

    Parameters
    ----------
    config
        The frozen settings.
    run
        Name of the run.
    """

    name: ClassVar[str]
    Config: ClassVar[type]

    def __init__(self, config: Any, run: str) -> None:
        self.config, self.run = config, run

    @abstractmethod
    def open(self, folder: Path, step: int) -> None:
        """Begin, or go on after `step` steps; what was written of later ones is void.

        Raises
        ------
        MissingError
            If the library is not installed.
        """

    @abstractmethod
    def write(self, step: int, values: dict[str, float]) -> None:
        """Take the numbers of a step."""

    @abstractmethod
    def close(self) -> None:
        """Finish; also after a failure, and if it was never opened."""
