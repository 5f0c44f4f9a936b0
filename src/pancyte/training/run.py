"""Run files: everything a pre-training run needs, checked before anything is computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator

from pancyte.corpus.sources import Source, Strict
from pancyte.errors import InputError, MissingError
from pancyte.training.loop import LoopConfig


class Component(Strict):
    """A registered component and its settings."""

    name: str
    config: dict[str, Any] = Field(default_factory=dict)


class Run(Strict):
    """A pre-training run.

    Attributes
    ----------
    name
        Name of the model it makes.
    description
        One sentence for the model card.
    train
        The cells to learn from: corpora, files and datasets.
    weights
        How often each dataset's cells come in an epoch, 1 where not named.
    orthologs
        Read mouse genes as their one-to-one human orthologs.
    held_out
        Cells to validate on; without it, `held_out_share` of the corpus, drawn by the seed.
    held_out_cells
        Validate on about so many of them at most.
    tokenizer, backbone, objective
        The parts.
    priors
        What the vectors of genes start from, side by side; ``{file: vectors.parquet}`` or a
        registered name with its settings.
    skip
        How many of the last layers the model leaves out when it embeds.
    pooling
        What the model returns of a cell when it embeds: the ``mean`` over its tokens, or ``cls``.
    loop
        How long and how fast; see `LoopConfig`.
    sinks
        Where the log goes besides its files.
    """

    name: str
    description: str = "A single-cell foundation model."
    train: list[Source] = Field(min_length=1)
    weights: dict[str, float] = Field(default_factory=dict)
    orthologs: bool = False
    held_out: list[Source] = Field(default_factory=list)
    held_out_share: float = Field(default=0.05, gt=0, lt=1)
    held_out_cells: int = Field(default=10_000, gt=0)
    tokenizer: Component = Component(name="continuous")
    backbone: Component = Component(name="transformer")
    objective: Component = Component(name="masked_value")
    priors: list[Component] = Field(default_factory=list)
    skip: int = Field(default=0, ge=0)
    pooling: Literal["mean", "cls"] = "mean"
    loop: LoopConfig = LoopConfig()
    sinks: list[Component] = Field(default_factory=list)

    @field_validator("train", "held_out", mode="before")
    @classmethod
    def _named(cls, given: Any) -> Any:
        return [{"source": item} if isinstance(item, str) else item for item in given]

    @field_validator("tokenizer", "backbone", "objective", mode="before")
    @classmethod
    def _flat(cls, given: Any) -> Any:
        if isinstance(given, str):
            return {"name": given}
        if isinstance(given, dict) and "config" not in given:
            settings = {key: value for key, value in given.items() if key != "name"}
            return {"name": given.get("name"), "config": settings}
        return given

    @field_validator("priors", "sinks", mode="before")
    @classmethod
    def _each(cls, given: Any) -> Any:
        if not isinstance(given, list):
            return given
        told = [
            {"name": "file", **part} if isinstance(part, dict) and "file" in part else part
            for part in given
        ]
        return [cls._flat(part) for part in told]


def load_run(path: str | Path) -> Run:
    """Read a run file (YAML); every mistake in it is named at once."""
    path = Path(path)
    if not path.is_file():
        raise MissingError(f"There is no run file {path}.", fix="See the recipes folder for some.")
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not YAML: {error}".replace("\n", " ")) from error
    try:
        run = Run.model_validate(given)
    except ValidationError as error:
        raise InputError(f"{path} is not a run file: {explain(error)}") from error
    return resolved(run, path.parent)


def explain(error: ValidationError) -> str:
    """Put pydantic's findings into one line."""
    return "; ".join(
        f"{'.'.join(map(str, item['loc'])) or 'the file'}: {item['msg'].lower()}"
        for item in error.errors()
    )


def resolved(run: Run, folder: Path) -> Run:
    """Find sources that are files beside the run file."""

    def absolute(source: Source) -> Source:
        beside = folder / source.source
        return source.model_copy(update={"source": str(beside)}) if beside.exists() else source

    def beside_run(part: Component) -> Component:
        given = part.config.get("file")
        path = folder / given if isinstance(given, str) else folder
        if not path.is_file():
            return part
        return part.model_copy(update={"config": {**part.config, "file": str(path)}})

    return run.model_copy(
        update={
            "priors": [beside_run(part) for part in run.priors],
            "train": [absolute(source) for source in run.train],
            "held_out": [absolute(source) for source in run.held_out],
        }
    )
