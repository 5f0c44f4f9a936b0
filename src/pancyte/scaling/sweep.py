"""Run a sweep, each point in a folder of its own; what is done is not done again."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pancyte import files
from pancyte.benchmark.trial import described
from pancyte.errors import PancyteError, UsageError
from pancyte.models.card import Card
from pancyte.models.model import Model, device
from pancyte.scaling.cost import flops_per_parameter, flops_per_token, parameters
from pancyte.scaling.plan import Scale
from pancyte.scaling.points import Point, points, run_of
from pancyte.scaling.pool import Pool
from pancyte.scaling.score import losses, zero_shot
from pancyte.store.part import Part
from pancyte.tasks.baselines import PCA
from pancyte.tasks.frozen import FrozenModel
from pancyte.training.feed import Feed
from pancyte.training.log import SPEED, read_log
from pancyte.training.loop import Loop
from pancyte.training.run import Run

RECORD = "record.json"
IDENTITY = "identity.json"
CONTROLS = "controls"
Record = dict[str, Any]
Report = Callable[[int, int, str], None]


def sweep(
    scale: Scale,
    folder: str | Path,
    *,
    pool: Pool | None = None,
    beside: Path = Path(),
    restart: bool = False,
    minutes: float | None = None,
    share: tuple[int, int] = (0, 1),
    report: Report | None = None,
) -> list[Record]:
    """Train and score every point of a sweep, and every control, or go on where it stopped.

    Parameters
    ----------
    scale
        What to run.
    folder
        Each run has a folder in it; a finished one has a ``record.json`` and is skipped, an
        unfinished one goes on from its last checkpoint, a failed one is tried again.
    pool
        The cells; opened if not given.
    beside
        Where relative file names of the labelled datasets start.
    restart
        Begin anew.
    minutes
        Start no further run after so many.
    share
        Do one share of the runs, ``(number, of how many)``, while other processes do the others in
        the same folder.
    report
        Called after each run with how many of how many are done, and its name.

    Returns
    -------
    One record for each run and control. Where ``error`` is not empty the run failed.

    Raises
    ------
    UsageError
        If the folder has runs of a sweep with other settings or other cells.
    """
    began, folder = time.monotonic(), Path(folder)
    tell = report or (lambda done, total, name: None)
    if restart:
        shutil.rmtree(folder, ignore_errors=True)
    pool = pool or Pool.open(scale, beside)
    jobs: list[tuple[str, Any, Callable[[Path], Record]]] = [
        (f"{CONTROLS}/{name}", told, make) for name, told, make in _controls(scale, pool)
    ]
    jobs += [
        (point.name, _told(scale, point, pool), _trainer(scale, point, pool))
        for point in points(scale)
    ]
    found, (own, shares) = [], share
    jobs = jobs[own::shares]
    for number, (name, told, make) in enumerate(jobs, start=1):
        if minutes is not None and time.monotonic() - began > 60 * minutes:
            break
        found.append(_once(folder / name, told, make))
        tell(number, len(jobs), name)
    return found


def records(folder: str | Path) -> list[Record]:
    """Read what a sweep has done so far."""
    paths = sorted(Path(folder).rglob(RECORD))
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def unfinished(scale: Scale, folder: str | Path) -> list[str]:
    """Name the runs and controls that have not been done, or failed."""
    done = {record["name"] for record in records(folder) if not record["error"]}
    drawn = [f"{size}_seed-{seed}" for seed in range(scale.seeds) for size in scale.sizes]
    controls = [*drawn, "pca"] if scale.zero_shot else []
    wanted = [*controls, *(point.name for point in points(scale))]
    return [name for name in wanted if name not in done]


def _once(folder: Path, told: Any, make: Callable[[Path], Record]) -> Record:
    """Return a finished record, or make it; a failure becomes a record too."""
    _claim(folder, json.dumps(told, sort_keys=True))
    path = folder / RECORD
    if path.exists():
        known: Record = json.loads(path.read_text(encoding="utf-8"))
        if not known["error"]:
            return known
    try:
        record = {"error": "", **make(folder)}
    except (PancyteError, ArithmeticError, RuntimeError, ValueError) as error:
        record = {"error": described(error)}
    record["name"] = folder.name
    files.write_text(path, json.dumps(record, indent=1))
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return record


def _claim(folder: Path, told: str) -> None:
    """Make sure that what is found in a run's folder, if anything, is of this run."""
    marker = folder / IDENTITY
    if marker.exists() and marker.read_text(encoding="utf-8") != told:
        raise UsageError(
            f"{folder} holds a run of another sweep, with other settings or other cells.",
            fix="Choose another -o, or begin anew with --restart.",
        )
    files.write_text(marker, told)


def _told(scale: Scale, point: Point, pool: Pool) -> dict[str, Any]:
    # a setting that is added later, and left alone, makes no other run
    run = run_of(scale, point, steps=1).model_dump(mode="json", exclude_defaults=True)
    return {"run": run, "epochs": scale.epochs, "point": asdict(point), "cells": pool.identity}


def _trainer(scale: Scale, point: Point, pool: Pool) -> Callable[[Path], Record]:
    def train(folder: Path) -> Record:
        feed = feed_of(scale, point, pool)
        steps = steps_of(scale, point, feed)
        run = run_of(scale, point, steps=steps)
        model = model_of(run, pool)
        first = next(iter(pool.held_out.values()))
        loop = Loop(model, feed, first, config=run.loop, folder=folder)
        seconds = loop.run()["seconds"]
        tokens = int(read_log(folder, SPEED)["tokens"].sum())
        per_token = flops_per_token(model, feed.tokens / len(feed.pick))
        scores, errors = zero_shot(FrozenModel(model), pool, point.seed)
        return {
            "kind": "trained",
            "point": asdict(point),
            **parameters(model),
            "datasets": {part.name: len(feed.pick.of(n)) for n, part in _parts(feed)},
            "steps": steps,
            "tokens": tokens,
            "tokens_per_cell": feed.tokens / len(feed.pick),
            "flops": per_token * tokens,
            "flops_per_parameter": flops_per_parameter(model),
            "seconds": seconds,
            "device": str(model.backbone.device),
            "losses": losses(model, pool, feed, run.loop, folder),
            "scores": scores,
            "unscored": errors,
        }

    return train


def _parts(feed: Feed) -> enumerate[Part]:
    return enumerate(feed.pick.corpus.parts)


def feed_of(scale: Scale, point: Point, pool: Pool) -> Feed:
    """Give a point its cells as minibatches."""
    pick = pool.subset(point.cells, sources=point.sources, seed=point.seed)
    budget = scale.base.loop.tokens_per_step
    return Feed(pick, pool.tokenizer, budget=budget, seed=point.seed)


def steps_of(scale: Scale, point: Point, feed: Feed) -> int:
    """Say how many steps show every cell so often as wanted, or read so many tokens."""
    budget = scale.base.loop.tokens_per_step
    epoch = (feed.tokens + len(feed.pick)) / budget
    wanted = point.tokens / feed.tokens if point.tokens else scale.epochs
    return max(1, math.ceil(wanted * epoch))


def model_of(run: Run, pool: Pool) -> Model:
    """Build the untrained model of a run on the tokenizer that all runs share."""
    model = Model.create(
        pool.tokenizer,
        backbone=run.backbone.model_dump(),
        objective=run.objective.model_dump(),
        skip=run.skip,
        card=Card(run.name, run.description),
        seed=run.loop.seed,
    )
    model.backbone.to(device())
    model.objective.to(device())
    return model


def _controls(scale: Scale, pool: Pool) -> list[tuple[str, Any, Callable[[Path], Record]]]:
    if not scale.zero_shot:
        return []
    found: list[tuple[str, Any, Callable[[Path], Record]]] = []
    for seed in range(scale.seeds):
        for size in scale.sizes:
            point = Point(size, scale.cells[0], seed)
            told = _told(scale, point, pool)
            found.append((f"{size}_seed-{seed}", told, _random(scale, point, pool)))

    def pca(folder: Path) -> Record:
        scores, errors = zero_shot(PCA(), pool, seed=0)
        return {"kind": "pca", "scores": scores, "unscored": errors}

    return [*found, ("pca", {"cells": pool.identity}, pca)]


def _random(scale: Scale, point: Point, pool: Pool) -> Callable[[Path], Record]:
    def draw(folder: Path) -> Record:
        model = model_of(run_of(scale, point, steps=1), pool).reinitialised(point.seed)
        scores, errors = zero_shot(FrozenModel(model), pool, point.seed)
        return {
            "kind": "random",
            "point": asdict(point),
            **parameters(model),
            "scores": scores,
            "unscored": errors,
        }

    return draw
