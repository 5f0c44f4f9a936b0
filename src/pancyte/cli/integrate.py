"""`pancyte integrate`: bring batches together, and say what that did to biology."""

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


def integrate(
    file: Annotated[Path, typer.Argument(help="Cells of several batches.")],
    batch_key: Annotated[str, typer.Option("--batch-key", "-b", help="Column of the batch.")],
    label_key: Annotated[
        str | None, typer.Option("--label-key", help="Column of cell types, to judge by.")
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method", help="harmony, combat, matched, scvi …; repeatable. Default auto."
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Model folder, to try as well.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="h5ad to write.")] = None,
    seed: Seed = 0,
    transpose: Transpose = False,
    genome: Genome = None,
    device: Device = "auto",
    force: Force = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Bring batches together in the way that keeps biology best; both are always told."""
    import pancyte as pan
    from pancyte.corpus.checks import require_batches
    from pancyte.corpus.write import prepare_obs, write_h5ad

    use_device(device)
    path = output(out, file.with_name(f"{file.stem}.integrated.h5ad"), force=force)
    adata = pan.read(file, transpose=transpose, genome=genome)
    batches = require_batches(adata.obs, batch_key)
    tell_changed(prepare_obs(adata))
    if dry_run:
        count = len(set(batches))
        content = {"cells": adata.n_obs, "batches": count, "out": str(path)}
        line = f"would integrate {adata.n_obs:,} cells of {count} batches and write {path}"
        emit(content, [line], as_json=as_json)
        return
    asked = "auto" if not method else method[0] if len(method) == 1 else method
    pan.tl.integrate(
        adata, batch_key=batch_key, method=asked, model=model, label_key=label_key, seed=seed
    )
    write_h5ad(adata, path)
    how = pan.tl.history(adata)[-1]
    content = {name: how[name] for name in ("method", "why", "evidence", "warnings", "judged_by")}
    lines = [f"{how['method']}: {how['why']}", f"wrote {path}: .obsm[{how['key']!r}]"]
    emit(content | {"key": how["key"], "out": str(path)}, lines, as_json=as_json)
