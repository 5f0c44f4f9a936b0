"""What a run has cost so far: seconds, tokens, operations, energy."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from pancyte.training.energy import Meter
from pancyte.training.flops import Work
from pancyte.training.sinks.sink import Sink


class Watch:
    """Keeps count over all parts of a run that was stopped and went on.

    Parameters
    ----------
    device
        Where it computes.
    work
        Operations for cells of given lengths; None leaves operations and MFU out.
    peak
        The device's rate in operations a second, of which the MFU is a share.
    world
        Number of processes, each of which does about the same.
    sinks
        Further places for the log.
    """

    def __init__(
        self,
        device: torch.device,
        *,
        work: Work | None = None,
        peak: float = float("nan"),
        world: int = 1,
        sinks: Sequence[Sink] = (),
    ) -> None:
        self.sinks = sinks
        self._work, self._peak, self._world = work, peak, world
        self._meter = Meter(device)
        self._before: dict[str, Any] = {}
        self._began = time.monotonic()
        self.tokens, self.flops = 0, 0.0

    def begin(self, before: dict[str, Any]) -> None:
        """Start, with what `cost` said when the run was stopped."""
        self._before, self._began = before, time.monotonic()
        self.tokens, self.flops = 0, 0.0
        self._meter.joules()

    @property
    def elapsed(self) -> float:
        """Seconds since the run began or went on."""
        return time.monotonic() - self._began

    @property
    def mfu(self) -> float:
        """Model FLOPs utilisation since then; NaN if it is not known."""
        if self._work is None:
            return float("nan")
        return self.flops / self.elapsed / self._peak / self._world

    def step(self, lengths: Sequence[np.ndarray]) -> dict[str, Any]:
        """Count a step, given the lengths of the cells that this process saw; describe it."""
        tokens = self._world * sum(int(long.sum()) for long in lengths)
        self.tokens += tokens
        told = {"seconds": self.cost["seconds"], "tokens": tokens}
        if self._work is not None:
            self.flops += self._world * sum(self._work.of(long) for long in lengths)
            told |= {"mfu": round(self.mfu, 5)}
        return told

    @property
    def cost(self) -> dict[str, Any]:
        """What the run has cost in all; a figure that is not known for a part of it is None."""
        joules, earlier = self._meter.joules(), self._before.get("joules", 0.0)
        known = joules is not None and earlier is not None
        return {
            "seconds": self._before.get("seconds", 0.0) + self.elapsed,
            "tokens": self._before.get("tokens", 0) + self.tokens,
            "flops": self._before.get("flops", 0.0) + self.flops,
            "joules": earlier + joules if known else None,
            "joules_from": self._meter.source if known else None,
        }
