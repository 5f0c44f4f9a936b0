"""The importer contract: recognise a folder, say what is in it, and make a model of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError, safe_open

from pancyte import registry
from pancyte.corpus.worker import checked_apart
from pancyte.errors import IntegrityError
from pancyte.importers.convert import SafeWeights
from pancyte.importers.plan import KeyPlan, Weight, rename
from pancyte.models.card import Card
from pancyte.models.model import Model, build, build_objective
from pancyte.tokenizers.vocabulary import Vocabulary

NO_TENSOR = "is no tensor"


@dataclass(frozen=True)
class Blueprint:
    """What an importer makes of a folder before it reads any weight.

    Attributes
    ----------
    title
        Which published model it is, for people.
    weights
        The weights, made safe by `safe_weights`.
    tokenizer, backbone, objective
        Registered ``name`` and, under ``config``, settings.
    vocabulary
        One row per gene, in the order of the ids here.
    wanted
        What the network needs of the checkpoint.
    ignored
        Patterns of keys that change nothing, with the reason.
    tied
        Keys that repeat another key: they must be equal, and are ignored.
    usual
        Turns a key of the file into its usual name.
    embedding
        How `Model.embed` pools, skips and scales: settings of `Model`.
    card
        What the model says about itself.
    facts
        What the plan tells besides.
    """

    title: str
    weights: SafeWeights
    tokenizer: dict[str, Any]
    backbone: dict[str, Any]
    objective: dict[str, Any]
    vocabulary: pd.DataFrame
    wanted: list[Weight]
    ignored: dict[str, str]
    card: Card
    embedding: dict[str, Any]
    tied: dict[str, str] = field(default_factory=dict)
    usual: Callable[[str], str] = str
    facts: dict[str, str] = field(default_factory=dict)

    def model(self) -> Model:
        """Build the model with the weights of seed 0."""
        kind = registry.get("tokenizers", self.tokenizer["name"])
        config = registry.settings_of(kind, self.tokenizer["config"])
        tokenizer = kind(config, Vocabulary(self.vocabulary))
        network = build("backbones", self.backbone)
        head = build_objective(self.objective, tokenizer, network)
        how = {name: self.embedding[name] for name in ("skip", "pooling") if name in self.embedding}
        model = Model(tokenizer, network, head, self.card, **how)
        model.normalise = self.embedding.get("normalise", False)
        return model


class Importer(ABC):
    """Turns the folder of a published model into a pancyte model, in two steps: plan, then load.

    Subclasses set `name`, and define `recognises` and `blueprint`.
    """

    name: ClassVar[str]

    @abstractmethod
    def recognises(self, folder: Path) -> bool:
        """Tell from its files whether a folder is of this kind."""

    @abstractmethod
    def blueprint(self, folder: Path, vocabulary: Path | None) -> Blueprint:
        """Read settings and vocabulary, and say which weights are needed.

        Parameters
        ----------
        folder
            The model's folder.
        vocabulary
            Folder with the vocabulary's files, where they are not beside the weights.
        """

    def plan(self, folder: Path, *, vocabulary: Path | None = None) -> KeyPlan:
        """Say what `load` would do, key by key."""
        blueprint = self.blueprint(folder, vocabulary)
        return self._planned(folder, blueprint, blueprint.model())

    def load(
        self,
        folder: Path,
        *,
        vocabulary: Path | None = None,
        allow_missing: Sequence[str] = (),
        allow_unused: Sequence[str] = (),
    ) -> Model:
        """Make a pancyte model of a folder.

        Parameters
        ----------
        folder, vocabulary
            As in `blueprint`.
        allow_missing, allow_unused
            Keys, or patterns of keys, that may be missing (these weights stay random, from seed
            0) or unused.

        Raises
        ------
        IntegrityError
            If anything else is missing or unused, with the list.
        """
        blueprint = self.blueprint(folder, vocabulary)
        model = blueprint.model()
        plan = self._planned(folder, blueprint, model)
        plan.check(allow_missing=allow_missing, allow_unused=allow_unused)
        _fill(model, blueprint, plan)
        return model

    def _planned(self, folder: Path, blueprint: Blueprint, model: Model) -> KeyPlan:
        tied = {name: f"repeats {other}" for name, other in blueprint.tied.items()}
        plan = KeyPlan.of(
            blueprint.wanted,
            {name: tensor.shape for name, tensor in _parameters(model).items()},
            stored_shapes(blueprint.weights, blueprint.usual),
            ignored=blueprint.ignored | tied,
            importer=self.name,
            model=blueprint.title,
            facts=_facts(folder, blueprint),
        )
        plan.ignored.update(dict.fromkeys(blueprint.weights.left_out, NO_TENSOR))
        return plan


def _facts(folder: Path, blueprint: Blueprint) -> dict[str, str]:
    weights = blueprint.weights
    made = "" if weights.path == weights.source else f", converted to {weights.path}"
    return {
        "folder": str(folder),
        "weights": f"{weights.source.name}, SHA-256 {weights.sha256}{made}",
        **blueprint.facts,
        "tokenizer": _settings(blueprint.tokenizer["name"], blueprint.tokenizer["config"]),
        "network": _settings(blueprint.backbone["name"], blueprint.backbone["config"]),
        "embedding": _settings("", blueprint.embedding),
    }


def _settings(name: str, config: Mapping[str, Any]) -> str:
    plain = (f"{key} {value}" for key, value in config.items() if not isinstance(value, dict))
    return f"{name}: {', '.join(plain)}".removeprefix(": ")


def _parameters(model: Model) -> dict[str, torch.Tensor]:
    parts = {"backbone": model.backbone, "objective": model.objective}
    return {
        f"{part}.{name}": tensor
        for part, module in parts.items()
        for name, tensor in module.state_dict().items()
    }


@torch.no_grad()
def _fill(model: Model, blueprint: Blueprint, plan: KeyPlan) -> None:
    """Copy the planned weights into the model."""
    target = _parameters(model)
    taken = plan.matched.keys() | plan.reshaped.keys()
    with _opened(blueprint.weights.path) as stored:
        names = rename(stored.keys(), blueprint.usual)
        for weight in blueprint.wanted:
            if not set(weight.theirs) <= taken:
                continue
            parts = [stored.get_tensor(names[name]) for name in weight.theirs]
            value = parts[0] if len(parts) == 1 else torch.cat(parts)
            if isinstance(weight.rows, np.ndarray):
                value = value[torch.from_numpy(weight.rows)]
            elif weight.rows is not None:
                value = value[weight.rows]
            target[weight.ours].copy_(value)
        for name, other in blueprint.tied.items():
            if name in names and other in names:
                _equal(stored, names[name], names[other])


def _equal(stored: Any, name: str, other: str) -> None:
    if not torch.equal(stored.get_tensor(name), stored.get_tensor(other)):
        raise IntegrityError(
            f"{name} should repeat {other}, but differs from it.",
            fix="This model was changed in a way that cannot be represented here.",
        )


def genes_of(path: Path) -> pd.Index:
    """Read the names of the columns of an h5ad, once another process has looked through it.

    Raises
    ------
    PancyteError
        If the file is damaged.
    """
    import h5py

    checked_apart(path)
    with h5py.File(path, "r") as content:
        table = content["var"]
        return pd.Index(table[table.attrs["_index"]].asstr()[:])


def card_of(
    folder: Path, importer: str, source: str, *, species: list[str], corpus: str, cells: int
) -> Card:
    """Write the card of a published model: what it is said to be, and that it was imported.

    Parameters
    ----------
    folder
        Its folder, whose name it gets.
    importer
        Which importer loads it.
    source
        Name and citation.
    species, corpus, cells
        What its authors say that it was trained on.
    """
    said = {"name": f"{corpus}, as published; not verifiable from the folder", "cells": cells}
    return Card(
        name=folder.resolve().name,
        description=f"{source}; imported from a published folder.",
        species=species,
        trained_on=[said | {"content_hash": "unknown"}],
        training={"imported": f"by pancyte's importer {importer}; training as published"},
    )


def stored_shapes(weights: SafeWeights, usual: Callable[[str], str]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each weight in a checkpoint under its usual name, reading none."""
    with _opened(weights.path) as stored:
        names = rename(stored.keys(), usual)
        return {to: tuple(stored.get_slice(name).get_shape()) for to, name in names.items()}


def _opened(weights: Path) -> Any:
    try:
        return safe_open(weights, framework="pt")
    except (SafetensorError, OSError) as error:
        raise IntegrityError(
            f"{weights} cannot be read ({error}).", fix="Fetch the model again."
        ) from error


def read_settings(path: Path, needed: Mapping[str, type | tuple[type, ...]]) -> dict[str, Any]:
    """Read a JSON file of settings and demand those that are needed, each of its type.

    Raises
    ------
    IntegrityError
        If it is damaged, or a setting is absent or of another type.
    """
    import json

    try:
        found = json.loads(path.read_text("utf-8"))
        wrong = [name for name, kind in needed.items() if not isinstance(found.get(name), kind)]
    except (ValueError, OSError, AttributeError) as error:
        raise IntegrityError(f"{path} is damaged ({error}).", fix="Fetch it again.") from error
    if wrong:
        given = ", ".join(f"{name} {found.get(name)!r}" for name in wrong)
        raise IntegrityError(f"{path} lacks usable settings: {given}.", fix="Fetch it again.")
    return found
