"""A suite's answers, kept by dataset and seed, so that an interrupted benchmark goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pancyte.benchmark.results import Results, together
from pancyte.benchmark.suite import Suite, run_suite


def kept(path: Path, ask: Callable[[], Results]) -> Results:
    """Return what a file holds, asking first if it is not there."""
    if not path.exists():
        ask().to_json(path)
        print(path.stem, flush=True)
    return Results.from_json(path)


def answers(suite: Suite, methods: Sequence[Any], *, seeds: int, folder: Path) -> Results:
    """Ask methods and baselines whatever FOLDER does not hold yet; return all of it."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for run in suite.runs:
        alone = Suite(name=suite.name, runs=[run])
        for seed in range(seeds):
            path = folder / f"{run.name.replace(' ', '_').replace(',', '')}.{seed}.json"
            found.append(kept(path, partial(run_suite, alone, methods, seeds=[seed])))
    return together(found)
