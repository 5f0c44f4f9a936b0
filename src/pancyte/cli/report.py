"""`pancyte report`: one HTML page with the answer, its evidence and how it was made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pancyte.cli.options import AsJson, DryRun, Force, output
from pancyte.cli.terminal import emit


def report(
    cells: Annotated[
        Path | None, typer.Option("--cells", "-c", help="h5ad from `pancyte annotate`.")
    ] = None,
    results: Annotated[
        Path | None, typer.Option("--results", "-r", help="Results (.json) of `pancyte bench`.")
    ] = None,
    training: Annotated[
        Path | None, typer.Option("--training", "-t", help="<model>.run of `pancyte pretrain`.")
    ] = None,
    label_key: Annotated[str | None, typer.Option(help="Column of true labels.")] = None,
    batch_key: Annotated[str | None, typer.Option(help="Column of technical batches.")] = None,
    title: Annotated[str, typer.Option(help="Heading.")] = "pancyte report",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="HTML file.")] = None,
    force: Force = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Write a self-contained page: maps, confusion, benchmark with verdicts, training curve."""
    import sys

    import pancyte as pan
    from pancyte.benchmark.results import Results
    from pancyte.errors import MissingError
    from pancyte.report.compose import Material, compose
    from pancyte.report.page import write_report

    path = output(out, Path("report.html"), force=force)
    for given in (results, training):
        if given is not None and not given.exists():
            raise MissingError(f"There is no {given}.", fix="Check the path.")
    if dry_run:
        emit({"report": str(path)}, [f"would write {path}"], as_json=as_json)
        return
    material = Material(
        adata=pan.read(cells) if cells else None,
        label_key=label_key,
        batch_key=batch_key,
        results=Results.from_json(results) if results else None,
        run=training,
        commands=[" ".join(["pancyte", *sys.argv[1:]])],
        title=title,
    )
    write_report(path, compose(material))
    emit({"report": str(path)}, [f"wrote {path}"], as_json=as_json)
