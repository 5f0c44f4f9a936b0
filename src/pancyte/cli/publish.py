"""`pancyte publish`: a model to a hub, with what others need to judge it."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pancyte.cli.options import AsJson, DryRun, Force
from pancyte.cli.terminal import emit


def publish(
    folder: Annotated[Path, typer.Argument(help="Model folder.")],
    name: Annotated[str, typer.Argument(help="hf:owner/repo.")],
    licence: Annotated[str, typer.Option(help="Licence of the weights: CC-BY-4.0 …")] = "",
    results: Annotated[
        Path | None, typer.Option(help="JSON of a benchmark in which the model was asked.")
    ] = None,
    limit: Annotated[
        list[str] | None, typer.Option(help="What it is not good for; may be repeated.")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="Let everybody see it.")] = False,
    confirm: Annotated[
        str, typer.Option(help="owner/repo once more, to send without being asked.")
    ] = "",
    force: Force = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Publish a model on a hub; refused without licence, data, scores beside baselines, limits."""
    from pancyte.models.hub import address
    from pancyte.models.model import Model
    from pancyte.models.publish import documented, parcel
    from pancyte.models.publish import publish as send

    repo = address(name).repo
    model = Model.from_pretrained(folder)
    ready = documented(model, licence=licence, results=results, limits=limit or ())
    planned = parcel(ready, name, private=not public)
    seen = "everybody" if public else "its owner only"
    lines = [f"to {planned.to}, visible to {seen}:"]
    lines += [f"  {part:20s} {size:>14,} bytes" for part, size in planned.sizes.items()]
    if dry_run:
        emit(asdict(planned), [*lines, "nothing was sent"], as_json=as_json)
        return
    _asked(lines, repo, confirm)
    address_of_commit = send(ready, name, private=not public, replace_existing=force)
    emit({**asdict(planned), "commit": address_of_commit}, [address_of_commit], as_json=as_json)


def _asked(lines: list[str], repo: str, confirm: str) -> None:
    """Send nothing unless somebody wrote the destination a second time."""
    from pancyte.errors import UsageError

    given = confirm
    if not given and sys.stdin.isatty():
        typer.echo("\n".join(lines), err=True)
        given = typer.prompt(f"Type {repo} to publish it", err=True)
    if given != repo:
        raise UsageError(
            "Nothing was sent: the destination was not confirmed.",
            fix=f"Add --confirm {repo} if this model may leave this machine.",
        )
