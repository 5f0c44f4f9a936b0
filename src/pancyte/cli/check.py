"""`pancyte check`: what is in this file, and can a model read it?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from pancyte.cli.options import AsJson, Transpose
from pancyte.cli.terminal import emit


def check(
    file: Annotated[Path, typer.Argument(help="Any file or folder of single cells.")],
    transpose: Transpose = False,
    as_json: AsJson = False,
) -> None:
    """Say what a file holds: species, gene names, where the counts are, labels and batches."""
    from pancyte.corpus.checks import inspect
    from pancyte.corpus.read import settled

    adata, done = settled(file, transpose=transpose)
    found = inspect(adata)
    found = replace(found, notices=(*done, *found.notices))
    emit({"file": str(file), **found.as_dict()}, found.report(), as_json=as_json)
