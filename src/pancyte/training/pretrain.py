"""From a run file to a model folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pancyte import files, registry
from pancyte.corpus.canonical import content_hash
from pancyte.errors import UsageError
from pancyte.models.card import Card
from pancyte.models.model import Model, device
from pancyte.shapes import Tokens
from pancyte.store.part import Part
from pancyte.tokenizers.tokenizer import Tokenizer
from pancyte.training.feed import Feed
from pancyte.training.loop import Loop, Progress
from pancyte.training.pick import collect, cut
from pancyte.training.run import Component, Run, load_run


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
    shown, model, train, held_out = prepare(run)
    folder = Path(f"{out}.run")
    trained_on = list(map(_entry, shown))
    cells = [item["content_hash"] for item in trained_on]
    _claim(folder, {"run": run.model_dump(mode="json"), "cells": cells}, restart=restart)
    loop = Loop(model, train, held_out, config=run.loop, folder=folder)
    scores = loop.run(report or (lambda progress: None))
    seconds = scores.pop("seconds")
    model.card = replace(
        model.card,
        trained_on=trained_on,
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


def prepare(run: Run) -> tuple[list[tuple[Part, np.ndarray]], Model, Feed, Tokens]:
    """Open the corpus, fit the tokenizer on the training cells, and build the untrained model.

    Returns
    -------
    shown
        Every dataset with the rows that the model may learn from or be validated on.
    model, train, held_out
        The untrained model, its minibatches, and the tokens it is validated on.
    """
    whole = collect(run.train, orthologs=run.orthologs, weights=run.weights)
    if run.held_out:
        training, validation = whole, collect(run.held_out, orthologs=run.orthologs)
    else:
        training, validation = cut(whole, run.held_out_share, run.loop.seed)
    tokenizer = _tokenizer(run.tokenizer).fit_corpus(training.corpus, rows=training.rows)
    parts = whole.corpus.parts
    model = Model.create(
        tokenizer,
        backbone=run.backbone.model_dump(),
        objective=run.objective.model_dump(),
        skip=run.skip,
        card=Card(
            run.name, run.description, species=sorted({part.about["species"] for part in parts})
        ),
        seed=run.loop.seed,
    )
    model.backbone.to(device())
    model.objective.to(device())
    budget, seed = run.loop.tokens_per_step, run.loop.seed
    held_out = Feed(validation, tokenizer, budget=budget, seed=seed).sample(run.held_out_cells)
    shown = [(part, whole.of(number)) for number, part in enumerate(parts) if len(whole.of(number))]
    return shown, model, Feed(training, tokenizer, budget=budget, seed=seed), held_out


def plan(run: Run) -> Plan:
    """Work out what a run would do, without doing it."""
    _, model, train, _ = prepare(run)
    network = sum(p.numel() for p in model.backbone.parameters())
    tables = len(model.tokenizer.vocabulary) * model.backbone.width
    tokens = run.loop.steps * run.loop.tokens_per_step
    return Plan(
        cells=len(train.pick),
        features=len(model.tokenizer.vocabulary),
        parameters=network,
        tokens_per_epoch=train.tokens,
        steps=run.loop.steps,
        tokens=tokens,
        # forward and backward, 2 + 4 operations a weight and token; look-ups cost none
        flops=6.0 * (network - tables) * tokens,
    )


def _entry(shown: tuple[Part, np.ndarray]) -> dict[str, Any]:
    """Describe a dataset for the model card: what it is called, and which cells they were."""
    part, rows = shown
    about = {key: value for key in ("licence", "citation") if (value := part.about.get(key))}
    content = content_hash(part.hashes()[rows])
    return {"name": part.name, "cells": len(rows), "content_hash": content, **about}


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


def _tokenizer(part: Component) -> Tokenizer:
    kind: Any = registry.get("tokenizers", part.name)
    return kind(registry.settings_of(kind, part.config))
