"""The log as TensorBoard event files in the run's folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pancyte.errors import MissingError
from pancyte.training.sinks.sink import Sink


@dataclass(frozen=True)
class TensorBoardConfig:
    """Where the files go.

    Attributes
    ----------
    folder
        Relative to the run's folder.
    """

    folder: str = "tensorboard"


class TensorBoard(Sink):
    """Write event files; look at them with ``tensorboard --logdir model.run``."""

    name = "tensorboard"
    Config = TensorBoardConfig
    _writer: Any = None

    def open(self, folder: Path, step: int) -> None:
        """Begin a file; what earlier ones say of later steps is hidden."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingError(
                "The sink 'tensorboard' needs the package tensorboard.",
                fix="pip install tensorboard, or leave it out of `sinks`.",
            ) from error
        purge = step + 1 if step else None
        self._writer = SummaryWriter(str(folder / self.config.folder), purge_step=purge)

    def write(self, step: int, values: dict[str, float]) -> None:
        """Add a point to each curve."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is buffered."""
        if self._writer:
            self._writer.close()
