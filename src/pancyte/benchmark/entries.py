"""Who is asked: the methods under test, and the baselines a task insists on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pancyte import registry
from pancyte.errors import UsageError
from pancyte.tasks.dataset import Dataset, Split
from pancyte.tasks.frozen import FrozenModel
from pancyte.tasks.task import Embeds, Labels, Method, Task

Entries = list[tuple[Method, bool]]
"""Methods, and whether each is a baseline."""


class Field:
    """The methods under test with the baselines of every task, each made once.

    A model's control keeps its vectors, so that tasks on the same cells share them.

    Parameters
    ----------
    methods
        Models, registered names, or objects that are `Embeds` or `Labels`.
    """

    def __init__(self, methods: Sequence[Any]) -> None:
        self.under_test = [as_method(given) for given in methods]
        names = [method.name for method in self.under_test]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise UsageError(f"Two methods are called {twice[0]!r}.", fix="Give each its own name.")
        self._baselines: dict[str, list[Method]] = {}

    def entries(self, task: Task, dataset: Dataset) -> Entries:
        """List who is asked: the methods under test that the task accepts, then its baselines."""
        baselines = [
            method for name in task.baselines(dataset) for method in self._registered(name)
        ]
        names = {method.name for method in baselines}
        under_test = [
            (method, False)
            for method in self.under_test
            if isinstance(method, task.accepts) and method.name not in names
        ]
        return [*under_test, *((method, True) for method in baselines)]

    def check(self, tasks: Sequence[Task]) -> None:
        """Refuse a method that none of the tasks accepts."""
        for method in self.under_test:
            if not any(isinstance(method, task.accepts) for task in tasks):
                raise UsageError(
                    f"{method.name} can do none of {', '.join(task.name for task in tasks)}.",
                    fix="Choose a task it can do, or give the method embed() or label().",
                )

    def _registered(self, name: str) -> list[Method]:
        if name not in self._baselines:
            kind = registry.get("methods", name)
            models = [m.model for m in self.under_test if isinstance(m, FrozenModel)]
            made = [kind(model) for model in models] if needs_model(kind) else [kind()]
            self._baselines[name] = made
        return self._baselines[name]


def needs_model(kind: Any) -> bool:
    """Whether a registered method is made of a model, such as its control."""
    return bool(getattr(kind, "needs_model", False))


def as_method(given: Any) -> Method:
    """Turn a model, a registered name or an object into a method.

    Raises
    ------
    UsageError
        If it is none of them, or a method that needs a model.
    """
    if isinstance(given, str):
        kind = registry.get("methods", given)
        if needs_model(kind):
            raise UsageError(
                f"{given!r} needs a model.", fix="Give the model, or the method made of it."
            )
        return kind()
    if hasattr(given, "reinitialised"):
        return FrozenModel(given)
    if isinstance(given, Embeds | Labels):
        return given
    raise UsageError(
        f"A {type(given).__name__} is no method.",
        fix="Give a model, a registered name, or an object with a name and embed() or label().",
    )


def has_seen(method: Method, split: Split) -> bool:
    """Whether the cells asked about were in what a method says it was trained on.

    They were if it was trained on the whole dataset or exactly the query, by content and
    whatever the name. If it was trained on another part of a dataset of this name they count
    as seen too, unless that part is exactly what the split leaves to learn from.
    """
    from pancyte.corpus.canonical import content_hash

    shown = getattr(method, "trained_on", [])
    if not shown:
        return False
    asked, known = split.dataset.asked, split.dataset.fingerprints
    rest = np.setdiff1d(np.arange(len(asked)), split.query_rows)
    seen = {split.dataset.hashes[-1], content_hash(known[split.query_rows])}
    unseen = content_hash(known[rest])
    return any(
        item.get("content_hash") in seen
        or (item.get("name") == asked.name and item.get("content_hash") != unseen)
        for item in shown
    )
