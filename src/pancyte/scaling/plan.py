"""Sweep files: one base run and the axes along which it is varied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from pancyte.benchmark.suite import Run as Question
from pancyte.corpus.sources import Strict
from pancyte.errors import InputError, MissingError
from pancyte.training.run import Run, explain, resolved

SECTIONS = ("loop", "backbone", "objective")
UNHEEDED = ("weights", "priors", "sinks")
"""Settings of a run that a sweep would have to pass over."""
ALL = 0
"""As a number of sources: all of them."""


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

    cells: list[int] = Field(default=[1_000_000, 30_000_000, 100_000_000], min_length=1)
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
        for name in UNHEEDED:
            if getattr(self.base, name, None):
                raise ValueError(f"base.{name}: a sweep does not heed it; leave it out")
        asked = {name for part in self.compare for name in part.sizes}
        if self.sensitivity:
            asked.add(self.sensitivity.size)
        if unknown := sorted(asked - set(self.sizes)):
            raise ValueError(f"there is no size {unknown[0]!r} among {', '.join(self.sizes)}")
        most = max((part.sources for part in self.compare), default=0)
        if most > len(self.base.train):
            raise ValueError(f"there are no {most} sources among {len(self.base.train)}")
        return self


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
        raise MissingError(
            f"There is no sweep file {path}.", fix="See the recipes folder for some."
        )
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
