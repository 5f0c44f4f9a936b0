"""The log for Weights & Biases, kept on this machine unless the run file says otherwise."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pancyte.errors import MissingError
from pancyte.training.sinks.sink import Sink


@dataclass(frozen=True)
class WandbConfig:
    """Where the log goes.

    Attributes
    ----------
    mode
        ``offline`` writes files that ``wandb sync`` can upload later; ``online`` uploads.
    project
        The project's name.
    """

    mode: Literal["offline", "online"] = "offline"
    project: str = "pancyte"


class Wandb(Sink):
    """Write a Weights & Biases run; nothing leaves the machine unless `mode` is ``online``."""

    name = "wandb"
    Config = WandbConfig
    _run: Any = None

    def open(self, folder: Path, step: int) -> None:
        """Begin the run, or go on with it."""
        try:
            import wandb
        except ImportError as error:
            raise MissingError(
                "The sink 'wandb' needs the package wandb.",
                fix="pip install wandb, or leave it out of `sinks`.",
            ) from error
        # the same folder is the same run, also after it was killed
        same = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
        self._run = wandb.init(
            project=self.config.project,
            name=self.run,
            id=same,
            resume="allow",
            mode="online" if self.config.mode == "online" else "offline",
            dir=str(folder),
            settings=wandb.Settings(console="off", silent=True),
        )

    def write(self, step: int, values: dict[str, float]) -> None:
        """Add a point to each curve."""
        self._run.log(values, step=step)

    def close(self) -> None:
        """Finish the run."""
        if self._run:
            self._run.finish()
            self._run = None
