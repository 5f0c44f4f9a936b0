"""`pancyte check`: what is in this file, and can a model read it?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from pancyte.cli.options import AsJson, Genome, Transpose
from pancyte.cli.terminal import emit


def check(
    file: Annotated[Path, typer.Argument(help="Any file or folder of single cells.")],
    model: Annotated[
        list[Path] | None,
        typer.Option("--model", "-m", help="Model folder to compare with; may be repeated."),
    ] = None,
    batch_key: Annotated[
        str | None, typer.Option("--batch-key", help="Column to verify as technical batch.")
    ] = None,
    transpose: Transpose = False,
    genome: Genome = None,
    as_json: AsJson = False,
) -> None:
    """Say what a file holds: species, genes, counts, labels, batches, and which models fit."""
    from pancyte.corpus.read import settled
    from pancyte.pp import check as findings_of

    adata, done = settled(file, transpose=transpose, genome=genome)
    found = findings_of(adata, models=model, batch_key=batch_key)
    found = replace(found, notices=(*done, *found.notices))
    emit({"file": str(file), **found.as_dict()}, found.report(), as_json=as_json)
