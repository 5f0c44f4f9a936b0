"""`pancyte denoise`: what cells would show if they were sequenced more deeply, in a layer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pancyte.cli.options import (
    AsJson,
    Device,
    DryRun,
    Force,
    Genome,
    Seed,
    Transpose,
    output,
    use_device,
)
from pancyte.cli.terminal import emit, tell_changed


def denoise(
    file: Annotated[Path, typer.Argument(help="Cells to denoise.")],
    method: Annotated[
        str | None,
        typer.Option(help="no-op, pca-denoise, magic-like …; the best on withheld reads if none."),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Model whose head predicts values.")
    ] = None,
    layer: Annotated[str, typer.Option(help="Layer to write.")] = "denoised",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="h5ad to write.")] = None,
    seed: Seed = 0,
    transpose: Transpose = False,
    genome: Genome = None,
    device: Device = "auto",
    force: Force = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Estimate what each cell would show at full depth; the counts are left as they are."""
    import pancyte as pan
    from pancyte.corpus.write import prepare_obs, write_h5ad

    use_device(device)
    path = output(out, file.with_name(f"{file.stem}.denoised.h5ad"), force=force)
    adata = pan.read(file, transpose=transpose, genome=genome)
    tell_changed(prepare_obs(adata))
    if dry_run:
        said = f"would write .layers[{layer!r}] of {adata.n_obs:,} cells to {path}"
        emit({"cells": adata.n_obs, "out": str(path)}, [said], as_json=as_json)
        return
    pan.tl.denoise(adata, method=method, model=model, key_added=layer, seed=seed)
    write_h5ad(adata, path)
    how = pan.tl.history(adata)[-1]
    content = {name: how[name] for name in ("method", "why", "withheld_deviance") if name in how}
    lines = [f"{how['method']}: .layers[{layer!r}], {adata.n_obs:,} × {adata.n_vars:,}"]
    emit({**content, "out": str(path)}, [*lines, f"wrote {path}"], as_json=as_json)
