"""`pancyte convert`: a published model's folder becomes a pancyte model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pancyte.cli.options import AsJson, DryRun, Force, output
from pancyte.cli.terminal import emit


def convert(
    folder: Annotated[str, typer.Argument(help="Folder of a published model: scGPT, Geneformer …")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Model folder to write.")] = None,
    vocabulary: Annotated[
        Path | None, typer.Option(help="Folder of its vocabulary, if not beside the weights.")
    ] = None,
    allow_missing: Annotated[
        list[str] | None, typer.Option(help="Key or pattern that may lack; may be repeated.")
    ] = None,
    allow_unused: Annotated[
        list[str] | None, typer.Option(help="Key or pattern to leave unused; may be repeated.")
    ] = None,
    force: Force = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Turn a published model's folder into a pancyte model; --dry-run shows key by key what of it.

    Nothing is loaded in part unless you allow it by name.
    """
    from pancyte.models.load import load, plan

    found = plan(folder, vocabulary=vocabulary)
    allowed = {"allow_missing": allow_missing or (), "allow_unused": allow_unused or ()}
    if dry_run:
        emit(found.as_dict(), found.lines(), as_json=as_json)
        found.check(**allowed)
        return
    path = output(out, Path(f"{Path(folder).resolve().name}-pancyte"), force=force)
    model = load(folder, vocabulary=vocabulary, **allowed)
    model.save_pretrained(path)
    content = {"model": str(path), "name": model.name, "plan": found.as_dict()}
    emit(
        content,
        [
            f"wrote {path}: {found.model}, {len(found.matched)} keys as they are, "
            f"{len(found.reshaped)} reshaped, {len(found.ignored)} ignored"
        ],
        as_json=as_json,
    )
