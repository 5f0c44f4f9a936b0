"""The runs that follow from a sweep file, each with its settings."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

from pancyte.errors import InputError
from pancyte.scaling.plan import ALL, Compare, Scale
from pancyte.training.run import Run

Change = tuple[str, Any]
"""A setting's place in the run file, and its value."""


@dataclass(frozen=True)
class Point:
    """One run of a sweep.

    Attributes
    ----------
    size
        Name of the model size.
    cells
        Number of training cells.
    seed
        Of weights, order, corruption, and which cells.
    sources
        From how many sources the cells come; 0 means all.
    tokens
        Tokens to train on; 0 means what the epochs give.
    changes
        Settings that differ from the base run, by their place in the run file.
    """

    size: str
    cells: int
    seed: int
    sources: int = ALL
    tokens: int = 0
    changes: tuple[Change, ...] = ()

    @property
    def name(self) -> str:
        """Name of its folder."""
        parts = [self.size, f"{self.cells}-cells"]
        parts += [f"{self.sources}-sources"] if self.sources else []
        parts += [f"{self.tokens}-tokens"] if self.tokens else []
        parts += [f"{key}={value}" for key, value in self.changes]
        return "_".join([*parts, f"seed-{self.seed}"])


def grid(scale: Scale) -> list[Point]:
    """List sizes × cells × seeds, the first seed first."""
    return [
        Point(size, cells, seed)
        for seed in range(scale.seeds)
        for cells, size in itertools.product(scale.cells, scale.sizes)
    ]


def compared(scale: Scale, part: Compare) -> list[Point]:
    """List the runs of one comparison, which stand beside grid points of the same name."""
    return [
        Point(size, cells, seed, part.sources, part.tokens)
        for seed in range(scale.seeds)
        for cells, size in itertools.product(part.cells, part.sizes)
    ]


def varied(scale: Scale) -> list[Point]:
    """List the sensitivity runs: every value of each setting with every one of the others."""
    chosen = scale.sensitivity
    if chosen is None:
        return []
    found = []
    for values in itertools.product(*chosen.vary.values()):
        settings = dict(zip(chosen.vary, values, strict=True))
        seed = settings.pop("seed", 0)
        found.append(Point(chosen.size, chosen.cells, seed, changes=tuple(settings.items())))
    return found


def points(scale: Scale) -> list[Point]:
    """List all runs once, in the order in which they are worth having."""
    others = [point for part in scale.compare for point in compared(scale, part)]
    asked = [*grid(scale), *others]
    first = [point for point in asked if not point.seed]
    later = [point for point in asked if point.seed]
    return list(dict.fromkeys([*first, *varied(scale), *later]))


def run_of(scale: Scale, point: Point, *, steps: int) -> Run:
    """Turn a point into a run: the base, its size, its seed and its changes.

    Raises
    ------
    InputError
        If a change names a setting that cannot be there.
    """
    base = scale.base
    backbone = base.backbone.model_copy(
        update={"config": {**base.backbone.config, **scale.sizes[point.size]}}
    )
    # one validation, at the end; the last checkpoint is all that a finished run needs
    loop = replace(
        base.loop,
        steps=steps,
        seed=point.seed,
        validate_every=steps,
        checkpoint_every=min(steps, base.loop.checkpoint_every),
    )
    run = base.model_copy(update={"name": point.name, "backbone": backbone, "loop": loop})
    for key, value in point.changes:
        run = _changed(run, key, value)
    return run


def _changed(run: Run, key: str, value: Any) -> Run:
    section, *path = key.split(".")
    if section == "loop":
        try:
            return run.model_copy(update={"loop": replace(run.loop, **{path[0]: value})})
        except TypeError as error:
            raise InputError(f"There is no setting {key!r}.", fix="See docs/runs.md.") from error
    component = getattr(run, section)
    config = _put(component.config, path, value)
    return run.model_copy(update={section: component.model_copy(update={"config": config})})


def _put(given: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    if isinstance(given, list):
        at = int(path[0])
        return [*given[:at], _put(given[at], path[1:], value), *given[at + 1 :]]
    return {**given, path[0]: _put(given.get(path[0], {}), path[1:], value)}
