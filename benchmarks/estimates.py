"""How far the estimates of memory and time before a run are from what the run takes.

    python benchmarks/estimates.py

Each row is a process of its own that plans a run on the shipped cells and takes three steps of it.
"""

import ctypes
import multiprocessing
import re
import tempfile
from pathlib import Path

from stamp import RESULTS, stamp

from pancyte.training.loop import Loop
from pancyte.training.plan import plan_of
from pancyte.training.pretrain import prepare
from pancyte.training.run import Run
from pancyte.training.team import Team

STEPS = 3
BASE = {
    "name": "estimate",
    "train": ["demo-pancreas"],
    "held_out_cells": 50,
    "tokenizer": {"name": "continuous", "max_length": 512},
}
RUNS = {
    "depth 2, width 128": ({"backbone": {"name": "transformer", "depth": 2}}, {}),
    "depth 4, width 256": ({"backbone": {"name": "transformer", "depth": 4}}, {}),
    "the same, two shares": ({"backbone": {"name": "transformer", "depth": 4}}, {"shares": 2}),
    "the same, recompute": ({"backbone": {"name": "transformer", "depth": 4}}, {"recompute": True}),
    "depth 2, generative": (
        {"backbone": {"name": "transformer", "depth": 2}, "objective": "generative"},
        {},
    ),
    "depth 2, ranks": (
        {
            "backbone": {"name": "transformer", "depth": 2},
            "tokenizer": {"name": "rank", "max_length": 512},
            "objective": "masked_gene",
        },
        {},
    ),
}


def memory(what: str) -> float:
    """Return a figure of the process, in GB."""
    told = Path("/proc/self/status").read_text()
    return int(re.search(rf"{what}:\s+(\d+)", told)[1]) * 1024 / 1e9


def measure(given: dict, loop: dict, answer: multiprocessing.SimpleQueue) -> None:
    settings = {"steps": STEPS, "tokens_per_step": 8192, **loop}
    run = Run.model_validate({**BASE, **given, "loop": settings})
    _, model, train, held_out = prepare(run)
    planned, _ = plan_of(model, train, run.loop, Team())
    with tempfile.TemporaryDirectory() as folder:
        watched = Loop(model, train, held_out, config=run.loop, folder=Path(folder))
        watched.validate = dict
        steps, before = watched._steps, []

        def begin(done):
            ctypes.CDLL(None).malloc_trim(0)
            Path("/proc/self/clear_refs").write_text("5")
            before.append(memory("VmRSS"))
            return steps(done)

        watched._steps = begin
        watched.run()
    cost = watched.cost
    taken = memory("VmHWM") - before[0] + planned.memory_gb["weights"]
    seconds = cost["seconds"]
    answer.put((planned.memory_gb["total"], taken, planned.seconds, seconds))


def main() -> None:
    lines = [
        "# Estimates before a run",
        "",
        "`pancyte pretrain --dry-run` against what a run takes: memory at a step's peak, beside",
        "the program and the cells, and the time of three steps; [runs](../runs.md) says how.",
        "",
        *stamp("python benchmarks/estimates.py", "torch"),
        "",
        "| run | memory estimated, GB | measured, GB | error | seconds estimated | measured |",
        "|---|---|---|---|---|---|",
    ]
    context = multiprocessing.get_context("fork")
    for name, (given, loop) in RUNS.items():
        answer = context.SimpleQueue()
        child = context.Process(target=measure, args=(given, loop, answer))
        child.start()
        child.join()
        guess, taken, planned, seconds = answer.get()
        error = guess / taken - 1
        lines.append(
            f"| {name} | {guess:.2f} | {taken:.2f} | {error:+.0%} | {planned:.1f} | {seconds:.1f} |"
        )
        print(lines[-1], flush=True)
    (RESULTS / "estimates.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
