"""`pancyte scale`: what more cells, datasets or parameters would bring."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pancyte.cli.options import AsJson, Device, DryRun, use_device
from pancyte.cli.terminal import counting_bar, emit, say
from pancyte.errors import UsageError


def scale(
    sweep: Annotated[Path, typer.Argument(help="Sweep file (YAML); see the recipes folder.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of the runs, the table, the figure.")
    ] = None,
    device: Device = "auto",
    minutes: Annotated[
        float | None, typer.Option(help="Start no further run after so many minutes.")
    ] = None,
    share: Annotated[
        str, typer.Option(help="Which share of the runs to do, of how many: 1/4 … 4/4.")
    ] = "1/1",
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin anew instead of going on.")
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Train a grid of model sizes and numbers of cells, fit how the loss falls, and predict.

    A sweep that was stopped goes on where it was when the same command is given again.
    """
    from pancyte.scaling.estimate import estimate
    from pancyte.scaling.plan import load_scale
    from pancyte.scaling.report import write_report
    from pancyte.scaling.sweep import records, unfinished
    from pancyte.scaling.sweep import sweep as run

    use_device(device)
    chosen = load_scale(sweep)
    folder = out or Path(chosen.name)
    if folder.is_file():
        raise UsageError(f"{folder} is a file.", fix="Choose another folder with -o.")
    if dry_run:
        planned = estimate(chosen, sweep.parent)
        emit(planned.content(), planned.lines(), as_json=as_json)
        return
    with counting_bar("sweep") as progress:
        found = run(
            chosen,
            folder,
            beside=sweep.parent,
            restart=restart,
            minutes=minutes,
            share=_share(share),
            report=lambda done, total, name: progress(done, total),
        )
    failed = {record["name"]: record["error"] for record in found if record["error"]}
    for name, error in failed.items():
        say(f"  {name}: {error}")
    report = write_report(chosen, records(folder), folder)
    left = unfinished(chosen, folder)
    told = (
        f"{len(left)} runs are left: give the same command again" if left else "all runs are done"
    )
    content = {"folder": str(folder), **report.content(), "failed": failed, "left": left}
    emit(content, [*report.lines(), f"wrote {folder}; {told}"], as_json=as_json)
    if failed:
        raise typer.Exit(1)


def _share(given: str) -> tuple[int, int]:
    """Read ``"2/4"`` as the second of four shares, counted from 0."""
    number, _, shares = given.partition("/")
    if number.isdigit() and shares.isdigit() and 1 <= int(number) <= int(shares):
        return int(number) - 1, int(shares)
    raise UsageError(f"{given!r} is no share.", fix="Give one such as 2/4, the second of four.")
