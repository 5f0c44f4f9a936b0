"""Sweep files: one base run and the axes along which it is varied."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from pancyte.benchmark.suite import Run as Question
from pancyte.corpus.sources import Strict
from pancyte.errors import InputError, MissingError
from pancyte.training.run import Run, explain, resolved

SECTIONS = ("loop", "backbone", "objective")
ALL = 0
"""As a number of sources: all of them."""

Change = tuple[str, Any]


class Compare(Strict):
    """A part of the grid that is repeated in another way.

    Attributes
    ----------
    sizes
        Names of sizes.
    cells
        Numbers of cells.
    sources
        The cells come from so many of the sources only, the first ones of the base run.
    tokens
        Train on so many tokens, however few the cells are, instead of for so many epochs.
    """

    sizes: list[str] = Field(min_length=1)
    cells: list[int] = Field(min_length=1)
    sources: int = Field(default=ALL, ge=0)
    tokens: int = Field(default=0, ge=0)


class Sensitivity(Strict):
    """Settings of one grid point that are varied together, every value with every other.

    Attributes
    ----------
    size, cells
        Which grid point.
    vary
        Values of each setting, by its place in the run file: ``loop.rate``, ``objective.ratio``,
        ``backbone.depth``, or ``seed``.
    """

    size: str
    cells: int = Field(gt=0)
    vary: dict[str, list[Any]] = Field(min_length=1)

    @field_validator("vary")
    @classmethod
    def _known(cls, given: dict[str, list[Any]]) -> dict[str, list[Any]]:
        for key, values in given.items():
            if key != "seed" and (key.count(".") < 1 or key.split(".")[0] not in SECTIONS):
                raise ValueError(f"{key!r} is neither seed nor a key of {', '.join(SECTIONS)}")
            if len(values) < 2:
                raise ValueError(f"{key!r} needs at least two values")
        return given


class Predict(Strict):
    """For which sizes and on which device a prediction is made.

    Attributes
    ----------
    cells
        Numbers of training cells.
    parameters
        Numbers of parameters, without embedding tables; the largest size of the sweep if none.
    device
        What to call the device.
    peak
        Its floating-point operations per second at the precision that is trained in.
    mfu
        The share of them that is assumed to be reached.
    """

    cells: list[int] = [1_000_000, 30_000_000, 100_000_000]
    parameters: list[int] = Field(default_factory=list)
    device: str = "H200, bf16, 989 TFLOP/s"
    peak: float = Field(default=989e12, gt=0)
    mfu: float = Field(default=0.4, gt=0, le=1)


class Scale(Strict):
    """A sweep.

    Attributes
    ----------
    name
        What to call it.
    base
        The run that is varied; ``loop.steps`` is set by the sweep.
    sizes
        Settings of the backbone for each model size, by name.
    cells
        Numbers of training cells; smaller sets are parts of larger ones.
    epochs
        How often each cell is seen.
    seeds
        How many times the grid is run; each seed draws other weights and other cells.
    compare
        Parts of the grid that are repeated with fewer sources, or at one number of tokens.
    sensitivity
        Settings that are varied at one point of the grid.
    zero_shot
        Labelled datasets to ask every model about, as in a suite.
    zero_shot_cells
        At most so many cells of each, drawn once.
    term
        The term of the loss that is fitted, such as ``value``; all of them added up if empty.
    predict
        For what to predict.
    """

    name: str
    base: Run
    sizes: dict[str, dict[str, Any]] = Field(min_length=1)
    cells: list[int] = Field(min_length=1)
    epochs: float = Field(default=1.0, gt=0)
    seeds: int = Field(default=1, ge=1)
    compare: list[Compare] = Field(default_factory=list)
    sensitivity: Sensitivity | None = None
    zero_shot: list[Question] = Field(default_factory=list)
    zero_shot_cells: int = Field(default=2000, gt=0)
    term: str = ""
    predict: Predict = Predict()

    @model_validator(mode="after")
    def _fits(self) -> Scale:
        if not self.base.held_out:
            raise ValueError("base.held_out: name at least one dataset that is not trained on")
        asked = {name for part in self.compare for name in part.sizes}
        if self.sensitivity:
            asked.add(self.sensitivity.size)
        if unknown := sorted(asked - set(self.sizes)):
            raise ValueError(f"there is no size {unknown[0]!r} among {', '.join(self.sizes)}")
        most = max((part.sources for part in self.compare), default=0)
        if most > len(self.base.train):
            raise ValueError(f"there are no {most} sources among {len(self.base.train)}")
        return self


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
    first = [point for point in grid(scale) if point.seed == 0]
    others = [point for part in scale.compare for point in compared(scale, part)]
    others.sort(key=lambda point: point.seed)
    return list(dict.fromkeys([*first, *others, *varied(scale), *grid(scale)]))


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
    every = {"validate_every": steps, "checkpoint_every": min(steps, base.loop.checkpoint_every)}
    loop = replace(base.loop, steps=steps, seed=point.seed, **every)
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


def load_scale(path: str | Path) -> Scale:
    """Read a sweep file (YAML); every mistake in it is named at once.

    Raises
    ------
    MissingError
        If there is no such file.
    InputError
        If it is not YAML, or a field is missing, unknown or of the wrong kind.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingError(f"There is no sweep file {path}.", fix="See the recipes folder for some.")
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not YAML: {error}".replace("\n", " ")) from error
    if isinstance(given, dict) and isinstance(given.get("base"), dict):
        given["base"] = {"name": given.get("name"), **given["base"]}
    try:
        scale = Scale.model_validate(given)
    except ValidationError as error:
        raise InputError(f"{path} is not a sweep file: {explain(error)}") from error
    return scale.model_copy(update={"base": resolved(scale.base, path.parent)})

