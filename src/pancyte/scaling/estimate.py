"""What a sweep will cost, before it starts."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from pancyte.scaling.cost import flops_per_token, parameters
from pancyte.scaling.plan import Scale
from pancyte.scaling.points import Point, points, run_of
from pancyte.scaling.pool import Pool
from pancyte.scaling.sweep import feed_of, model_of, steps_of
from pancyte.training.log import SPEED, read_log
from pancyte.training.loop import Loop

TRIED = 5
"""Steps that are timed for each size, the first left out."""
FEW = 8


@dataclass(frozen=True)
class Estimate:
    """What a sweep will cost.

    Attributes
    ----------
    runs
        Number of runs that train.
    cells
        Cells in the pool.
    parameters
        Of each size, without embedding tables.
    tokens, flops, hours
        Of all runs; hours are those of training on this device, without validation and scores.
    """

    runs: int
    cells: int
    parameters: dict[str, int]
    tokens: int
    flops: float
    hours: float

    def content(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return everything for people."""
        sizes = ", ".join(f"{name} {number:,}" for name, number in self.parameters.items())
        return [
            f"runs        {self.runs:,}",
            f"cells       {self.cells:,}",
            f"parameters  {sizes}",
            f"tokens      {self.tokens:,}",
            f"flops       {self.flops:.2e}",
            f"hours here  {self.hours:.2f}, validation and scores left out",
        ]


def estimate(scale: Scale, beside: Path = Path(), *, pool: Pool | None = None) -> Estimate:
    """Count the work of a sweep, and time a few steps of each size on this device.

    Parameters
    ----------
    scale
        The sweep.
    beside
        Where relative file names of the labelled datasets start.
    pool
        The cells; opened if not given.
    """
    pool = pool or Pool.open(scale, beside)
    first = {name: Point(name, min(scale.cells), 0) for name in scale.sizes}
    speeds = {name: _speed(scale, point, pool) for name, point in first.items()}
    models = {name: model_of(run_of(scale, point, steps=1), pool) for name, point in first.items()}
    total, flops, seconds = 0, 0.0, 0.0
    for point in points(scale):
        feed = feed_of(scale, point, pool)
        tokens = steps_of(scale, point, feed) * scale.base.loop.tokens_per_step
        total += tokens
        flops += tokens * flops_per_token(models[point.size], feed.tokens / len(feed.pick))
        seconds += tokens / speeds[point.size]
    sizes = {name: parameters(model)["parameters"] for name, model in models.items()}
    rising = dict(sorted(sizes.items(), key=lambda item: item[1]))
    return Estimate(len(points(scale)), len(pool), rising, total, flops, seconds / 3600)


def _speed(scale: Scale, point: Point, pool: Pool) -> float:
    """Tokens a second of a size, padding included."""
    run = run_of(scale, point, steps=TRIED)
    held_out = next(iter(pool.held_out.values()))
    held_out = held_out.select(torch.arange(min(FEW, len(held_out))))
    with TemporaryDirectory() as folder:
        feed = feed_of(scale, replace(point, cells=min(scale.cells)), pool)
        loop = Loop(model_of(run, pool), feed, held_out, config=run.loop, folder=Path(folder))
        loop.run()
        seconds = read_log(folder, SPEED)["seconds"].diff().iloc[1:]
    return run.loop.tokens_per_step / float(seconds.median())
