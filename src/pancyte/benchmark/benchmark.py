"""Run methods and every baseline on the same questions, and judge them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from itertools import count
from typing import Any

from pancyte import registry
from pancyte.benchmark.comparison import verdicts
from pancyte.benchmark.entries import Entries, Field, has_seen
from pancyte.benchmark.results import COLUMNS, Results, together
from pancyte.benchmark.statistics import interval
from pancyte.benchmark.trial import Trial, ask
from pancyte.metrics.metric import Metric
from pancyte.tasks.dataset import Dataset
from pancyte.tasks.task import Task

Progress = Callable[[int, int, str], None]
"""Called with the number of runs done, their total, and what comes next."""


def benchmark(
    methods: Sequence[Any],
    *,
    tasks: Sequence[str | Task],
    datasets: Sequence[Dataset],
    seeds: Sequence[int] = range(5),
    progress: Progress | None = None,
) -> Results:
    """Find out whether methods beat simple baselines on your data.

    Each task brings its own splits, metrics and baselines, and the baselines always run: there
    is no way to get a score without theirs.

    Parameters
    ----------
    methods
        Models, registered names, or any object that is `Embeds` or `Labels`. A model brings its
        own control along, the same network with random weights.
    tasks
        Registered names or `Task` objects.
    datasets
        Each is used for each task.
    seeds
        At least five for an interval to mean much.
    progress
        Told before each run.

    Returns
    -------
    Scores, verdicts and failures. A method that raises becomes a row with its error, and
    ``Results.failed`` is True; it never stops the others.

    Raises
    ------
    UsageError
        If a name is not registered or a method fits none of the tasks.
    InputError
        If a dataset lacks a column.
    """
    return ask_all(
        methods,
        [(task, dataset) for dataset in datasets for task in tasks],
        seeds=seeds,
        progress=progress,
    )


def ask_all(
    methods: Sequence[Any],
    questions: Sequence[tuple[str | Task, Dataset]],
    *,
    seeds: Sequence[int],
    progress: Progress | None = None,
) -> Results:
    """As `benchmark`, for tasks that each have their own dataset."""
    field = Field(methods)
    asked: list[tuple[Task, Dataset]] = [
        (registry.get("tasks", task)() if isinstance(task, str) else task, dataset)
        for task, dataset in questions
    ]
    field.check([task for task, _ in asked])
    plan = [(task, dataset, field.entries(task, dataset)) for task, dataset in asked]
    total = sum(
        len(entered) * sum(1 for _ in task.splits(dataset, seeds))
        for task, dataset, entered in plan
    )
    done = count()

    def report(what: str) -> None:
        if progress is not None:
            progress(next(done), total, what)

    return together([_run(*step, seeds=seeds, report=report) for step in plan])


def _run(
    task: Task,
    dataset: Dataset,
    entered: Entries,
    *,
    seeds: Sequence[int],
    report: Callable[[str], None],
) -> Results:
    metrics: list[Metric] = [registry.get("metrics", name) for name in task.metrics(dataset)]
    trials: list[Trial] = []
    rows: list[dict[str, Any]] = []
    seen: dict[tuple[str, str], bool] = {}
    for split in task.splits(dataset, seeds):
        for method, baseline in entered:
            report(f"{dataset.name}, {task.name}, {split.fold}, seed {split.seed}: {method.name}")
            place = (method.name, split.fold)
            if place not in seen:
                seen[place] = has_seen(method, split)
            for trial in ask(task, method, split, metrics=metrics, baseline=baseline):
                trials.append(trial)
                rows += _rows(trial, task, dataset, seen=seen[place])
    where = {"dataset": dataset.name, "task": task.name}
    judged = verdicts(trials, metrics, task.headline(dataset))
    return Results(rows, [where | verdict for verdict in judged])


def _rows(trial: Trial, task: Task, dataset: Dataset, *, seen: bool) -> Iterator[dict[str, Any]]:
    fixed = {
        "method": trial.method,
        "adaptation": trial.adaptation,
        "dataset": dataset.name,
        "revision": dataset.revision,
        "task": task.name,
        "split": trial.fold,
        "seed": int(trial.seed),
        "baseline": trial.baseline,
        "seen": seen,
        "cells": trial.cells,
        "excluded": trial.excluded,
        "seconds": trial.cost.seconds,
        "peak_memory": trial.cost.peak_memory,
        "version": version("pancyte"),
    }
    nothing: dict[str, Any] = dict.fromkeys(COLUMNS) | {"metric": "", "error": ""}
    for metric, value in trial.scores.items():
        row = nothing | fixed | {"metric": metric, "value": value}
        if metric in trial.replicates:
            row["low"], row["high"] = interval(trial.replicates[metric])
        yield row
    for metric, error in trial.errors.items():
        yield nothing | fixed | {"metric": metric, "error": error}
