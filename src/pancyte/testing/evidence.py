"""Checks of metrics and tasks, on real cells."""

from __future__ import annotations

from typing import Any

import numpy as np

from pancyte import registry
from pancyte.metrics.metric import Metric
from pancyte.tasks.dataset import Dataset
from pancyte.testing.components import some_cells

CELLS = 400


def check_metric(name: str) -> None:
    """Demand that a metric knows its range and source and ignores the order of cells.

    Raises
    ------
    AssertionError
        With what was found.
    """
    scored = registry.get("metrics", name)
    assert isinstance(scored, Metric), f"{name!r} is a {type(scored).__name__}, not a Metric"
    assert scored.name == name, f"it is registered as {name!r} but named {scored.name!r}"
    assert scored.source, "it has no source"
    assert scored.best != scored.worst, "its best and worst values are the same"
    arrays = some_answers()
    value = scored.score(arrays)
    low, high = sorted([scored.best, scored.worst])
    assert low - 1e-9 <= value <= high + 1e-9, f"{value} is outside [{low}, {high}]"
    order = np.random.default_rng(0).permutation(CELLS)
    reordered = scored.score({key: array[order] for key, array in arrays.items()})
    assert abs(reordered - value) < 0.02, f"the order of cells changes it: {value}, {reordered}"


def check_task(name: str) -> None:
    """Demand that a task brings registered metrics and baselines, and splits without leaks.

    Raises
    ------
    AssertionError
        With what was found.
    """
    task = registry.get("tasks", name)()
    cells = some_cells(CELLS)
    dataset = Dataset(cells, label_key="cell_type", batch_key="study", split_by="study")
    assert task.name == name, f"it is registered as {name!r} but named {task.name!r}"
    metrics = task.metrics(dataset)
    assert task.headline(dataset) in metrics, "its headline is not among its metrics"
    for metric in metrics:
        registry.get("metrics", metric)
    baselines = task.baselines(dataset)
    assert baselines, "it has no baseline"
    for baseline in baselines:
        registry.get("methods", baseline)
    splits = list(task.splits(dataset, [0]))
    assert splits, "it has no split"
    # within one set of cells; another set has rows of its own
    for split in (split for split in splits if split.dataset.query is None):
        shared = np.intersect1d(split.reference_rows, split.query_rows)
        whole = len(shared) == len(split.query_rows)
        assert whole or not len(shared), "a cell is both learned from and asked about"
    answers: Any = task.run(registry.get("methods", "pca")(), splits[0])
    for arrays in answers.values():
        for metric in metrics:
            assert np.isfinite(registry.get("metrics", metric).score(arrays)), f"{metric}: NaN"


def some_answers() -> dict[str, np.ndarray]:
    """Return arrays as a task would: real labels, studies and a real, imperfect embedding."""
    cells = some_cells(CELLS)
    labels = cells.obs["cell_type"].astype(str).to_numpy()
    batches = cells.obs["study"].astype(str).to_numpy()
    (embedding,) = registry.get("methods", "pca")().embed(cells, batch_key=None, seed=0)
    names = np.unique(labels)
    centres = np.stack([embedding[labels == name].mean(axis=0) for name in names])
    nearness = -np.linalg.norm(embedding[:, None] - centres, axis=2)
    weights = np.exp(nearness - nearness.max(axis=1, keepdims=True))
    return {
        "y_true": labels,
        "y_pred": names[weights.argmax(axis=1)],
        "probabilities": weights / weights.sum(axis=1, keepdims=True),
        "embedding": embedding,
        "answered": weights.max(axis=1) > 0.5 * weights.sum(axis=1),
        "labels": labels,
        "batches": batches,
        "depth": np.asarray(cells.counts.sum(axis=1), dtype=float).ravel(),
    }
