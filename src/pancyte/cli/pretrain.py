"""`pancyte pretrain`: a model from unlabelled cells."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pancyte.cli.options import AsJson, Device, DryRun, Force, output, use_device
from pancyte.cli.terminal import emit, say, training_bar

if TYPE_CHECKING:
    from pancyte.training.plan import Plan


def pretrain(
    run: Annotated[Path, typer.Argument(help="Run file (YAML); see the recipes folder.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Model folder.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed, instead of the run file's.")] = None,
    device: Device = "auto",
    force: Force = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin anew instead of going on with a killed run.")
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Pre-train a model; a run that was killed goes on where its last checkpoint stands."""
    from pancyte.training.pretrain import plan
    from pancyte.training.pretrain import pretrain as train
    from pancyte.training.run import load_run

    use_device(device)
    settings = load_run(run)
    if seed is not None:
        loop = replace(settings.loop, seed=seed)
        settings = settings.model_copy(update={"loop": loop})
    if dry_run:
        planned = plan(settings)
        emit(planned.as_dict(), planned.lines(), as_json=as_json)
        return
    folder = output(out, Path(settings.name), force=force)
    if os.environ.get("RANK", "0") != "0":
        # torchrun starts this in every process; the first one speaks for all
        train(settings, folder, restart=restart)
        return
    with training_bar() as bar:
        model = train(settings, folder, restart=restart, report=bar, before=_tell)
    for name, value in {**model.card.training, **model.card.cost}.items():
        say(f"  {name}: {value}")
    content = {"model": str(folder), "training": model.card.training, "cost": model.card.cost}
    emit(content, [f"model: {folder}"], as_json=as_json)


def _tell(planned: Plan) -> None:
    for line in planned.lines():
        say(f"  {line}")
