"""`pancyte corpus`: many datasets as one store that models are pre-trained from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pancyte.cli.options import AsJson, Cluster, Force, output
from pancyte.cli.terminal import emit, say

if TYPE_CHECKING:
    from pancyte.store.build import Added

app = typer.Typer(help="Make, look at and change a corpus of datasets.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(help="The corpus's folder.")]


@app.command()
def build(
    folder: Folder,
    sources: Annotated[
        list[str], typer.Argument(help="Files, dataset names, or YAML lists of sources.")
    ],
    dask: Cluster = None,
    as_json: AsJson = False,
) -> None:
    """Put datasets into a corpus, making it if need be; what is there already is skipped."""
    from pancyte.store.build import build, entries
    from pancyte.store.corpus import manifest

    given = entries(sources)
    build(folder, given, cluster=dask, report=_told)
    _show(manifest(folder), as_json=as_json)


@app.command()
def show(folder: Folder, as_json: AsJson = False) -> None:
    """Print the manifest: datasets, cells, genes, species, licences and checksums."""
    from pancyte.store.corpus import manifest

    _show(manifest(folder), as_json=as_json)


@app.command()
def remove(
    folder: Folder,
    name: Annotated[str, typer.Argument(help="The dataset, as the manifest calls it.")],
) -> None:
    """Take a dataset out of a corpus; its file is deleted."""
    from pancyte.store.build import remove

    remove(folder, name)
    say(f"{name} is no longer in {folder}.")


@app.command()
def verify(folder: Folder) -> None:
    """Read every byte and compare it with the checksums of the manifest."""
    from pancyte.errors import IntegrityError
    from pancyte.store.corpus import manifest, verify

    if bad := verify(folder):
        raise IntegrityError(
            f"{folder}: {', '.join(bad)} changed since it was written, or is missing.",
            fix="Remove it from the corpus and add its source again.",
        )
    say(f"All {len(manifest(folder))} datasets are as they were written.")


@app.command()
def export(
    folder: Folder,
    out: Annotated[Path, typer.Option("--out", "-o", help="The h5ad to write.")],
    name: Annotated[
        list[str] | None, typer.Option(help="A dataset; may be repeated. All by default.")
    ] = None,
    force: Force = False,
) -> None:
    """Write datasets as one h5ad: counts in X, one name per gene, obs['dataset']."""
    from pancyte.corpus.write import write_h5ad
    from pancyte.store.corpus import Corpus

    target = output(out, out, force=force)
    adata = Corpus.open(folder).to_anndata(name or ())
    write_h5ad(adata, target)
    say(f"{target}: {adata.n_obs:,} cells × {adata.n_vars:,} genes.")


def _told(added: Added) -> None:
    about = added.about
    if added.skipped:
        say(f"{about['name']}: in the corpus already.")
        return
    dropped = ", ".join(
        f"{number:,} that {name} has" for name, number in about["dropped_duplicates"].items()
    )
    say(
        f"{about['name']}: {about['cells']:,} cells × {about['features']:,} genes "
        f"({about['species']})" + (f"; left out {dropped}." if dropped else ".")
    )


def _show(parts: list[dict[str, object]], *, as_json: bool) -> None:
    columns = ("name", "species", "cells", "features", "nonzeros", "donors", "licence")
    rows = [[_cell(part[column]) for column in columns] for part in parts]
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in [list(columns), *rows]
    ]
    cells = sum(int(str(part["cells"])) for part in parts)
    lines.append(f"{len(parts)} datasets, {cells:,} cells")
    emit({"datasets": parts, "cells": cells}, lines, as_json=as_json)


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
