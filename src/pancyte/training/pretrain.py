"""From a run file to a model folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pancyte import files, registry
from pancyte.corpus.datasets import content_hash
from pancyte.corpus.sources import chosen, load_cells
from pancyte.errors import UsageError
from pancyte.models.card import Card
from pancyte.models.model import Model, device
from pancyte.shapes import Cells, Tokens, offsets_of
from pancyte.tokenizers.tokenizer import Tokenizer
from pancyte.training.loop import Loop, Progress
from pancyte.training.run import Part, Run, load_run


@dataclass(frozen=True)
class Plan:
    """What a run will cost, before it starts."""

    cells: int
    features: int
    parameters: int
    tokens_per_epoch: int
    steps: int
    tokens: int
    flops: float


def pretrain(
    run: Run | str | Path,
    out: str | Path,
    *,
    restart: bool = False,
    report: Callable[[Progress], None] | None = None,
) -> Model:
    """Pre-train a model on unlabelled cells and save it, or go on where a killed run stopped.

    Parameters
    ----------
    run
        A `Run`, or the path of a run file.
    out
        The model's folder; checkpoints and logs go to ``<out>.run`` beside it.
    restart
        Begin anew even if `out` has a run that could go on.
    report
        Called after each step.

    Returns
    -------
    The trained model. Labels of the cells are never read.

    Raises
    ------
    UsageError
        If ``<out>.run`` holds another run: other settings, other cells.
    """
    run = run if isinstance(run, Run) else load_run(run)
    sets, model, train, held_out = prepare(run)
    folder = Path(f"{out}.run")
    hashes = [content_hash(cells) for cells in sets]
    _claim(folder, {"run": run.model_dump(mode="json"), "cells": hashes}, restart=restart)
    loop = Loop(model, train, held_out, config=run.loop, folder=folder)
    scores = loop.run(report or (lambda progress: None))
    seconds = scores.pop("seconds")
    model.card = replace(
        model.card,
        trained_on=[
            {"name": cells.name, "cells": len(cells), "content_hash": digest}
            for cells, digest in zip(sets, hashes, strict=True)
        ],
        training={
            "steps": run.loop.steps,
            "tokens per step": run.loop.tokens_per_step,
            "peak learning rate": loop.peak,
            "seed": run.loop.seed,
            "seconds": round(seconds, 1),
            "device": str(model.backbone.device),
            **{key.replace("_", " "): round(value, 4) for key, value in scores.items()},
        },
    )
    model.save_pretrained(out)
    return model


def prepare(run: Run) -> tuple[list[Cells], Model, Tokens, Tokens]:
    """Read the corpus, fit the tokenizer on the training cells, and build the untrained model."""
    sets, held_out = (
        [chosen(load_cells(source.source), source) for source in sources]
        for sources in (run.train, run.held_out)
    )
    if held_out:
        training, validation = sets, held_out
    else:
        training, validation = _cut(sets, run.held_out_share, run.loop.seed)
    tokenizer = _tokenizer(run.tokenizer).fit(*training)
    species = {name for cells in sets for name in cells.context["species"].unique()}
    model = Model.create(
        tokenizer,
        backbone=run.backbone.model_dump(),
        objective=run.objective.model_dump(),
        skip=run.skip,
        card=Card(run.name, run.description, species=sorted(map(str, species))),
        seed=run.loop.seed,
    )
    model.backbone.to(device())
    model.objective.to(device())
    return (
        sets,
        model,
        joined([tokenizer(cells) for cells in training]),
        joined([tokenizer(cells) for cells in validation]),
    )


def plan(run: Run) -> Plan:
    """Work out what a run would do, without doing it."""
    _, model, train, _ = prepare(run)
    network = sum(p.numel() for p in model.backbone.parameters())
    tables = len(model.tokenizer.vocabulary) * model.backbone.width
    tokens = run.loop.steps * run.loop.tokens_per_step
    return Plan(
        cells=len(train),
        features=len(model.tokenizer.vocabulary),
        parameters=network,
        tokens_per_epoch=len(train.ids),
        steps=run.loop.steps,
        tokens=tokens,
        # forward and backward, 2 + 4 operations a weight and token; look-ups cost none
        flops=6.0 * (network - tables) * tokens,
    )


def joined(parts: list[Tokens]) -> Tokens:
    """Put several packed sets of cells behind one another."""
    return Tokens(
        torch.cat([part.ids for part in parts]),
        torch.cat([part.values for part in parts]),
        offsets_of(torch.cat([part.lengths for part in parts])),
        {name: torch.cat([part.context[name] for part in parts]) for name in parts[0].context},
    )


def _claim(folder: Path, identity: dict[str, Any], *, restart: bool) -> None:
    """Make sure that the run found in a folder, if any, is this one."""
    told = json.dumps(identity, sort_keys=True)
    marker = folder / "run.json"
    if restart:
        shutil.rmtree(folder, ignore_errors=True)
    elif marker.exists() and marker.read_text(encoding="utf-8") != told:
        raise UsageError(
            f"{folder} holds another run, with other settings or other cells.",
            fix="Choose another -o, or begin anew with --restart.",
        )
    files.write_text(marker, told)


def _tokenizer(part: Part) -> Tokenizer:
    kind: Any = registry.get("tokenizers", part.name)
    return kind(registry.settings_of(kind, part.config))


def _cut(sets: list[Cells], share: float, seed: int) -> tuple[list[Cells], list[Cells]]:
    rng = np.random.default_rng(seed)
    training, validation = [], []
    for cells in sets:
        held = np.zeros(len(cells), bool)
        held[rng.permutation(len(cells))[: max(1, int(share * len(cells)))]] = True
        training.append(cells.select(~held))
        validation.append(cells.select(held))
    return training, validation
