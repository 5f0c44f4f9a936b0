"""One method asked once: what it answered, how good that was and what it cost."""

from __future__ import annotations

import logging
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pancyte.benchmark.statistics import resampling_weights
from pancyte.metrics.metric import AdditiveMetric, Metric
from pancyte.metrics.neighbours import with_neighbours
from pancyte.tasks.dataset import Split
from pancyte.tasks.task import Arrays, Method, Task

log = logging.getLogger(__name__)


@dataclass
class Cost:
    """Wall seconds, and the largest resident memory of the process meanwhile in MiB."""

    seconds: float = 0.0
    peak_memory: float = 0.0


@dataclass(frozen=True)
class Trial:
    """A method and one adaptation of it on one split.

    Attributes
    ----------
    method, adaptation
        Names; the adaptation is empty if the method failed before it.
    baseline
        Whether the task brought the method.
    fold, seed
        Which split.
    cells, excluded
        Query cells scored, and left out because their type is not in the reference.
    cost
        Of asking the method, all adaptations together; vectors already known cost nothing.
    scores
        Value of each metric.
    replicates
        Bootstrap replicates of the metrics that are sums over cells.
    errors
        What went wrong, by metric; under ``""`` if the method itself failed.
    """

    method: str
    adaptation: str
    baseline: bool
    fold: str
    seed: int
    cells: int
    excluded: int
    cost: Cost
    scores: dict[str, float] = field(default_factory=dict)
    replicates: dict[str, np.ndarray] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


def ask(
    task: Task, method: Method, split: Split, *, metrics: Sequence[Metric], baseline: bool
) -> Iterator[Trial]:
    """Ask a method; yield one trial for each adaptation, or one with the error."""
    cost = Cost()
    fixed: dict[str, Any] = {"method": method.name, "baseline": baseline}
    fixed |= {"fold": split.fold, "seed": split.seed, "cost": cost}
    try:
        with measured(cost):
            answers = task.run(method, split)
    except Exception as error:
        log.debug("%s failed on %s", method.name, split.fold, exc_info=True)
        yield Trial(**fixed, adaptation="", cells=0, excluded=0, errors={"": described(error)})
        return
    for adaptation, arrays in answers.items():
        cells = len(next(iter(arrays.values())))
        trial = Trial(
            **fixed, adaptation=adaptation, cells=cells, excluded=len(split.query_rows) - cells
        )
        score(trial, metrics, arrays, seed=draw_of(split))
        yield trial


def score(trial: Trial, metrics: Sequence[Metric], arrays: Arrays, *, seed: int) -> None:
    """Fill in a trial's scores; a metric that cannot be computed leaves its error."""
    try:
        named = with_neighbours(arrays) if "embedding" in arrays else dict(arrays)
        named["scores"] = trial.scores
    except Exception as error:
        trial.errors[""] = described(error)
        return
    for metric in metrics:
        try:
            value = metric.score(named)
            if not np.isfinite(value):
                raise FloatingPointError(f"{metric.name} is {value}")
            if isinstance(metric, AdditiveMetric):
                weights = resampling_weights(trial.cells, seed)
                trial.replicates[metric.name] = metric.resampled(named, weights)
        except Exception as error:
            log.debug("%s failed for %s", metric.name, trial.method, exc_info=True)
            trial.errors[metric.name] = described(error)
        else:
            trial.scores[metric.name] = value


def draw_of(split: Split) -> int:
    """Seed of the bootstrap: the same for all methods and seeds that are asked about one fold."""
    return zlib.crc32(f"{split.dataset.name}\n{split.fold}".encode())


def described(error: Exception) -> str:
    """One line: the kind of error and its message."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


@contextmanager
def measured(cost: Cost) -> Iterator[None]:
    """Measure the block's wall time and the process's peak memory.

    On Linux the peak is that of the block; elsewhere it is that of the process so far.
    """
    reset = Path("/proc/self/clear_refs")
    try:
        reset.write_text("5")
    except OSError:
        log.debug("peak memory is that of the whole process")
    start = time.perf_counter()
    try:
        yield
    finally:
        cost.seconds = time.perf_counter() - start
        cost.peak_memory = peak_memory()


def peak_memory() -> float:
    """Largest resident memory of the process since it was last reset, in MiB.

    NaN on a system that tells neither through ``/proc`` nor through ``getrusage`` (Windows).
    """
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    if sys.platform == "win32":
        return float("nan")
    import resource

    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
