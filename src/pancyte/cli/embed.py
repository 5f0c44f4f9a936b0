"""`pancyte embed`: a vector for each cell."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pancyte.cli.options import AsJson, Device, DryRun, Force, Genome, Transpose, output, use_device
from pancyte.cli.terminal import emit, tell_changed


def embed(
    file: Annotated[Path, typer.Argument(help="Cells: h5ad, 10x h5, or a 10x folder.")],
    model: Annotated[str, typer.Option("--model", "-m", help="Model folder.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="h5ad to write.")] = None,
    pooling: Annotated[str, typer.Option(help="mean or cls.")] = "mean",
    transpose: Transpose = False,
    genome: Genome = None,
    device: Device = "auto",
    force: Force = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Represent each cell by a model; writes a copy of the file with the embedding in .obsm."""
    import pancyte as pan
    from pancyte.corpus.write import prepare_obs, write_h5ad
    from pancyte.errors import UsageError
    from pancyte.models.load import load

    use_device(device)
    if pooling not in ("mean", "cls"):
        raise UsageError(f"There is no pooling {pooling!r}.", fix="Use mean or cls.")
    path = output(out, file.with_name(f"{file.stem}.embedded.h5ad"), force=force)
    loaded = load(model)
    adata = pan.read(file, transpose=transpose, genome=genome)
    tell_changed(prepare_obs(adata))
    key = f"X_{loaded.name.replace('-', '_')}"
    content = {"cells": adata.n_obs, "width": loaded.backbone.width, "key": key, "out": str(path)}
    if not dry_run:
        pan.tl.embed(adata, loaded, pooling=pooling)
        write_h5ad(adata, path)
    verb = "would write" if dry_run else "wrote"
    line = f"{verb} {path}: .obsm[{key!r}], {adata.n_obs:,} × {loaded.backbone.width}"
    emit(content, [line], as_json=as_json)
