"""Published models of single cells: what each is, where it comes from, and how sure that is."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, field_validator, model_validator

from pancyte.corpus.sources import Strict
from pancyte.errors import UsageError

TABLE = Path(__file__).with_name("published.yaml")
Type = Literal[
    "foundation model",
    "cross-species",
    "multi-omics",
    "language model",
    "graph model",
    "supervised transformer",
    "classical deep model",
]
Checked = Literal["repository", "licence file", "model card", "abstract", "review", "own", "none"]


class Citation(Strict):
    """Where a model is described.

    Attributes
    ----------
    text
        Authors, journal and year.
    doi, arxiv
        One of them, unless it is `own`.
    own
        Whether it is pancyte itself.
    """

    text: str = Field(min_length=5)
    doi: str | None = None
    arxiv: str | None = None
    own: bool = False

    @model_validator(mode="after")
    def _one(self) -> Citation:
        if self.own != (self.doi is None and self.arxiv is None):
            raise ValueError("give a doi or an arxiv number, or own: true for pancyte's")
        if self.doi is not None and not re.fullmatch(r"10\.\d{4,9}/\S+", self.doi):
            raise ValueError(f"{self.doi!r} is no DOI")
        if self.arxiv is not None and not re.fullmatch(r"\d{4}\.\d{4,5}", self.arxiv):
            raise ValueError(f"{self.arxiv!r} is no arXiv number")
        return self

    @property
    def link(self) -> str:
        """Web address of the paper, ``""`` for pancyte's own."""
        if self.doi:
            return f"https://doi.org/{self.doi}"
        return f"https://arxiv.org/abs/{self.arxiv}" if self.arxiv else ""


class Measured(Strict):
    """What a model cost on a machine of ours.

    Attributes
    ----------
    seconds_per_cell
        CPU seconds to embed one cell.
    memory_mib
        Peak memory.
    how
        With whose code, on what.
    """

    seconds_per_cell: float | None = Field(default=None, gt=0)
    memory_mib: float | None = Field(default=None, gt=0)
    how: str = Field(min_length=10)


class Published(Strict):
    """One published model.

    Attributes
    ----------
    name
        How `pancyte models` calls it.
    type
        What kind of model it is.
    tokens, backbone, pretraining
        What it reads, with which network, and what it was asked.
    corpus, cells, species
        What it was trained on; `cells` is empty where it is trained on the user's data.
    downstream
        What it has been used for.
    insight
        What biology its authors learned with it.
    licence, source
        Of code and weights; ``"none stated"`` where their authors name none.
    citation
        The paper.
    checked
        What these facts were read from.
    unchecked
        Fields that were not read there.
    recipe
        Run file of `recipes/` that trains its design in miniature.
    importer
        Name of the importer that loads its checkpoints, if there is one.
    evidence
        How that importer was verified.
    measured
        Its cost here, if it was measured.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    type: Type
    tokens: str = Field(min_length=4)
    backbone: str = Field(min_length=3)
    pretraining: list[str] = Field(min_length=1)
    corpus: str = Field(min_length=5)
    cells: int | None = Field(default=None, gt=0)
    species: list[str] = Field(min_length=1)
    downstream: list[str] = Field(min_length=1)
    insight: str = Field(min_length=10)
    licence: str = Field(min_length=3)
    source: str = Field(pattern=r"^https://\S+$")
    citation: Citation
    checked: list[Checked] = Field(min_length=1)
    unchecked: list[str] = Field(default_factory=list)
    recipe: str | None = None
    importer: str | None = None
    evidence: str | None = None
    measured: Measured | None = None

    @field_validator("unchecked")
    @classmethod
    def _fields(cls, given: list[str]) -> list[str]:
        if strange := sorted(set(given) - set(cls.model_fields)):
            raise ValueError(f"{strange[0]!r} is no field of a model")
        return given

    @model_validator(mode="after")
    def _honest(self) -> Published:
        if self.checked == ["none"] and not self.unchecked:
            raise ValueError("what was checked nowhere must be listed as unchecked")
        if (self.importer is None) != (self.evidence is None):
            raise ValueError("an importer comes with the evidence for it")
        return self

    @property
    def verified(self) -> str:
        """How pancyte has verified it, in words."""
        if self.importer:
            return f"importer {self.importer}: {self.evidence}"
        return f"design only: recipes/{self.recipe}.yaml" if self.recipe else "not by pancyte"

    def as_dict(self) -> dict[str, Any]:
        """Plain data, with `verified`."""
        return {**self.model_dump(mode="json"), "verified": self.verified}


@cache
def published() -> tuple[Published, ...]:
    """Return all published models that pancyte knows of, in the order of their file."""
    found = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return checked(found)


def checked(entries: Sequence[dict[str, Any]]) -> tuple[Published, ...]:
    """Validate entries; no name may come twice.

    Raises
    ------
    ValueError
        If one is incomplete or a name repeats.
    """
    models = tuple(Published.model_validate(entry) for entry in entries)
    names = [model.name for model in models]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{twice[0]!r} is listed twice")
    return models


def find(name: str) -> Published:
    """Return one published model by name, whatever its case.

    Raises
    ------
    UsageError
        If it is not known; the nearest names are given.
    """
    known = {model.name: model for model in published()}
    wanted = name.strip().lower()
    if wanted in known:
        return known[wanted]
    close = difflib.get_close_matches(wanted, known, n=3, cutoff=0.4)
    close = close or [each for each in known if wanted and wanted in each]
    raise UsageError(
        f"No published model is known as {name!r}.",
        fix=(f"Did you mean {' or '.join(close)}? " if close else "")
        + "`pancyte models` lists all.",
    )
