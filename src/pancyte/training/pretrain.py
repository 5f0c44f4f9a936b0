"""From a run file to a model folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pancyte import files, registry
from pancyte.corpus.canonical import content_hash
from pancyte.errors import UsageError
from pancyte.models.card import Card
from pancyte.models.model import Model, device
from pancyte.priors.prior import fit_priors
from pancyte.priors.table import PriorTable
from pancyte.shapes import Tokens
from pancyte.store.part import Part
from pancyte.tokenizers.tokenizer import Tokenizer
from pancyte.training.feed import Feed
from pancyte.training.loop import Loop, LoopConfig, Progress
from pancyte.training.network import Network
from pancyte.training.pick import collect, cut
from pancyte.training.plan import Plan, cost_of, plan_of
from pancyte.training.run import Component, Run, load_run
from pancyte.training.shares import Shares
from pancyte.training.sinks.sink import Sink
from pancyte.training.team import Team, joined_team
from pancyte.training.watch import Watch

LATER = ("optimizer", "memory", "recompute", "compile")
"""Settings of the loop that runs begun by earlier versions do not name."""


def pretrain(
    run: Run | str | Path,
    out: str | Path,
    *,
    restart: bool = False,
    report: Callable[[Progress], None] | None = None,
    before: Callable[[Plan], None] = lambda planned: None,
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
    before
        Called with what the run will cost, before it starts.

    Returns
    -------
    The trained model. Labels of the cells are never read.

    Raises
    ------
    UsageError
        If ``<out>.run`` holds another run: other settings, other cells.
    """
    run = run if isinstance(run, Run) else load_run(run)
    with joined_team() as team:
        shown, model, train, held_out = prepare(run)
        folder = Path(f"{out}.run")
        trained_on = list(map(_entry, shown))
        cells = [item["content_hash"] for item in trained_on]
        if team.leads:
            _claim(folder, _identity(run, model, cells), restart=restart)
        team.wait()
        planned, watch = _begin(run, model, train, folder=folder, team=team)
        if team.leads:
            before(planned)
        loop = Loop(model, train, held_out, config=run.loop, folder=folder, team=team, watch=watch)
        scores = loop.run(report or (lambda progress: None))
        if run.loop.sharded:
            weights = loop.weights()
            model = _model(run, model.tokenizer, model.card, model.priors)
            Network(model.backbone, model.objective).load_state_dict(weights)
        model.card = replace(
            model.card,
            trained_on=trained_on,
            training=_facts(run, loop, model, scores),
            cost=cost_of(planned, loop.cost),
        )
        if team.leads:
            model.save_pretrained(out)
        team.wait()
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
    species = sorted({part.about["species"] for part in parts})
    told = [part.model_dump() for part in run.priors]
    vocabulary, rows = tokenizer.vocabulary, training.rows
    priors = fit_priors(told, training.corpus, vocabulary, rows=rows) if told else None
    model = _model(run, tokenizer, Card(run.name, run.description, species=species), priors)
    budget, seed = run.loop.tokens_per_step, run.loop.seed
    held_out = Feed(validation, tokenizer, budget=budget, seed=seed).sample(run.held_out_cells)
    shown = [(part, whole.of(number)) for number, part in enumerate(parts) if len(whole.of(number))]
    return shown, model, Feed(training, tokenizer, budget=budget, seed=seed), held_out


def plan(run: Run) -> Plan:
    """Work out what a run would cost, without doing it: see `Plan`."""
    _, model, train, _ = prepare(run)
    planned, _ = plan_of(model, train, run.loop, Team())
    return planned


def _model(run: Run, tokenizer: Tokenizer, card: Card, priors: PriorTable | None) -> Model:
    """Build the untrained model, where it is to be trained."""
    model = Model.create(
        tokenizer,
        backbone=run.backbone.model_dump(),
        objective=run.objective.model_dump(),
        skip=run.skip,
        pooling=run.pooling,
        card=card,
        seed=run.loop.seed,
        priors=priors,
    )
    model.backbone.to(device())
    model.objective.to(device())
    return model


def _begin(run: Run, model: Model, train: Feed, *, folder: Path, team: Team) -> tuple[Plan, Watch]:
    """Plan a run, and settle what it needs to know to go on as it began."""
    shares = Shares(folder, run.loop.shares)
    settled = replace(run.loop, shares=shares.at(0)) if shares.settled else run.loop
    planned, work = plan_of(model, train, settled, team)
    if team.leads:
        files.write_text(folder / "plan.json", json.dumps(planned.as_dict(), indent=1))
        if not shares.settled:
            shares.settle(planned.shares)
    team.wait()
    return planned, Watch(
        model.backbone.device,
        work=work,
        peak=planned.peak_flops,
        world=team.world,
        sinks=[_sink(given, run.name) for given in run.sinks],
    )


def _facts(run: Run, loop: Loop, model: Model, scores: dict[str, Any]) -> dict[str, Any]:
    """Say for the card how a model was trained, and how well it does on held-out cells."""
    seconds = scores.pop("seconds")
    elsewhere = ", ".join(Path(source.source).name for source in run.held_out)
    return {
        "steps": run.loop.steps,
        "tokens per step": run.loop.tokens_per_step,
        "optimizer": run.loop.optimizer,
        "peak learning rate": loop.peak,
        "seed": run.loop.seed,
        "seconds": round(seconds, 1),
        "device": str(loop.backbone.device),
        "processes": loop.team.world,
        **_coverage(run, model),
        "validated on": elsewhere or f"{run.held_out_share:.0%} of each dataset's cells",
        **{key.replace("_", " "): round(value, 4) for key, value in scores.items()},
    }


def _sink(given: Component, run: str) -> Sink:
    kind: Any = registry.get("sinks", given.name)
    return kind(registry.settings_of(kind, given.config), run)


def _entry(shown: tuple[Part, np.ndarray]) -> dict[str, Any]:
    """Describe a dataset for the model card: what it is called, and which cells they were."""
    part, rows = shown
    about = {key: value for key in ("licence", "citation") if (value := part.about.get(key))}
    content = content_hash(part.hashes()[rows])
    return {"name": part.name, "cells": len(rows), "content_hash": content, **about}


def _identity(run: Run, model: Model, cells: list[str]) -> dict[str, Any]:
    """Collect what makes a run this run: settings, cells, and the content of its priors."""
    # where the log goes does not make it another run
    settings = run.model_dump(mode="json", exclude={"sinks"})
    # nor does a setting that came later and is not made use of
    for name in LATER:
        if settings["loop"][name] == getattr(LoopConfig, name):
            del settings["loop"][name]
    identity: dict[str, Any] = {"run": settings, "cells": cells}
    if model.priors:
        return {**identity, "priors": model.fingerprint()}
    # a run file without priors is the same run as before there were any
    del identity["run"]["priors"]
    return identity


def _coverage(run: Run, model: Model) -> dict[str, Any]:
    """Say what the vectors of genes started from, and for how many."""
    if not model.priors:
        return {}
    table = model.tokenizer.vocabulary.table
    named = " + ".join(str(part.config.get("file") or part.name) for part in run.priors)
    covered = int((model.priors.rows(table) >= 0).sum())
    return {
        "priors": f"{named}, {model.priors.dims} numbers for {covered:,} of {len(table):,} genes"
    }


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
