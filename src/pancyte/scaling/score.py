"""What a model is worth: its losses on held-out datasets, and what it knows without training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pancyte import registry
from pancyte.benchmark.trial import described
from pancyte.metrics.neighbours import with_neighbours
from pancyte.training.loop import Loop, LoopConfig

if TYPE_CHECKING:
    from pancyte.models.model import Model
    from pancyte.scaling.pool import Pool
    from pancyte.tasks.task import Method
    from pancyte.training.feed import Feed

KINDS = ("held_out", "trivial", "rival")


def losses(
    model: Model, pool: Pool, feed: Feed, config: LoopConfig, folder: Path
) -> dict[str, dict[str, float]]:
    """Measure a trained model's loss on each held-out dataset, and that of simple predictors.

    Every model is asked the same questions, whatever its own seed.

    Returns
    -------
    For each dataset the terms, as in ``loss.jsonl``.
    """
    asked = replace(config, seed=0)
    return {
        name: Loop(model, feed, tokens, config=asked, folder=folder).validate()
        for name, tokens in pool.held_out.items()
    }


def zero_shot(method: Method, pool: Pool, seed: int) -> tuple[dict[str, float], list[str]]:
    """Ask a method about the labelled datasets.

    Returns
    -------
    scores
        By ``dataset/task/adaptation/metric``.
    errors
        What could not be computed, and why.
    """
    scores: dict[str, float] = {}
    errors = []
    for task, dataset in pool.questions:
        (split,) = list(task.splits(dataset, [seed]))[:1]
        where = f"{dataset.name}/{task.name}"
        for adaptation, arrays in task.run(method, split).items():
            found: dict[str, float] = {}
            named = dict(with_neighbours(arrays) if "embedding" in arrays else arrays)
            for name in task.metrics(dataset):
                try:
                    found[name] = registry.get("metrics", name).score({**named, "scores": found})
                except Exception as error:
                    errors.append(f"{where}/{adaptation}/{name}: {described(error)}")
            scores |= {f"{where}/{adaptation}/{name}": value for name, value in found.items()}
    return scores, errors
