"""Into how many shares a minibatch is divided, chosen to fit the memory and kept for resuming."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Literal

from pancyte import files
from pancyte.errors import ResourceError
from pancyte.training.memory import Need

FILE = "shares.json"
FILL = 0.6
"""Share of the free memory that the estimate may use: it was up to 37 % low on CPUs, where the
allocator holds memory in pieces (``docs/results/estimates.md``)."""
MOST = 4096


def fitting(need: Need, tokens: int, memory: float, *, world: int = 1) -> int:
    """Choose the smallest number of shares, doubling from one a process, that fits the memory.

    Parameters
    ----------
    need
        Estimate of memory.
    tokens
        Padded tokens in a minibatch.
    memory
        Bytes that each process may take.
    world
        Number of processes.

    Raises
    ------
    ResourceError
        If the weights alone do not fit.
    """
    room = need.tokens_within(memory)
    if room < 1:
        raise ResourceError(
            f"Training takes {need.fixed / 1e9:.2f} GB for weights, gradients and optimizer; "
            f"{memory / 1e9:.2f} GB may be used.",
            fix="Choose a smaller network, sharded: true with more processes, or more loop.memory.",
        )
    needed = max(1, math.ceil(tokens / room / world))
    return min(MOST, world * 2 ** math.ceil(math.log2(needed)))


class Shares:
    """The number of shares at each step of a run.

    It is kept in the run's folder: random numbers depend on the share, so a run that goes on must
    divide each step as it did the first time, whatever memory is free now.

    Parameters
    ----------
    folder
        The run's folder.
    given
        The number, or ``"auto"``.
    """

    def __init__(self, folder: Path, given: int | Literal["auto"]) -> None:
        self._file, self.chosen = folder / FILE, given == "auto"
        self._history: list[tuple[int, int]] = [] if given == "auto" else [(0, int(given))]
        if self.chosen and self._file.exists():
            self._history = [(a, b) for a, b in json.loads(self._file.read_text("utf-8"))]

    @property
    def settled(self) -> bool:
        """Whether there is a number."""
        return bool(self._history)

    def settle(self, number: int) -> None:
        """Begin the run with a chosen number."""
        self._history = [(0, number)]
        self._keep()

    def at(self, step: int) -> int:
        """Return the number at a step."""
        return [number for start, number in self._history if start <= step][-1]

    def double(self, step: int) -> int:
        """Divide twice as finely from this step on.

        Raises
        ------
        ResourceError
            If that is beyond reason.
        """
        more = 2 * self.at(step)
        if more > MOST:
            raise ResourceError(
                f"Step {step + 1} does not fit the memory even in {more // 2} shares.",
                fix="Choose a smaller network or a smaller max_length.",
            )
        self._history = [item for item in self._history if item[0] < step] + [(step, more)]
        self._keep()
        return more

    def _keep(self) -> None:
        files.write_text(self._file, json.dumps(self._history))
