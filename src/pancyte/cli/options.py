"""Options that several verbs share, so that they are spelt and explained alike."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pancyte.errors import UsageError

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and stop.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the output if it exists.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of everything random.")]
Transpose = Annotated[bool, typer.Option("--transpose", help="The file has genes as rows.")]
Genome = Annotated[
    str | None,
    typer.Option("--genome", help="Keep one reference's genes of a mixed-species run: hg19 …"),
]
Cluster = Annotated[
    str | None,
    typer.Option("--dask", help="Work on a Dask cluster: 'local', or a scheduler's address."),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]


def output(path: Path | None, default: Path, *, force: bool) -> Path:
    """Settle where a result goes; an existing file is never replaced without --force."""
    chosen = path or default
    if chosen.exists() and not force:
        raise UsageError(f"{chosen} exists.", fix="Add --force to replace it, or choose with -o.")
    return chosen


def use_device(name: str) -> None:
    """Remember the device for this process."""
    from pancyte._settings import settings

    if name not in ("auto", "cpu", "cuda", "mps"):
        raise UsageError(f"There is no device {name!r}.", fix="Use auto, cpu, cuda or mps.")
    settings.device = name
