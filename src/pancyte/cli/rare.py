"""`pancyte rare`: small groups of cells with genes of their own."""

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

SHOWN = 5


def rare(
    file: Annotated[Path, typer.Argument(help="Cells to look in.")],
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Model whose embedding to look in as well.")
    ] = None,
    use_rep: Annotated[
        str | None, typer.Option("--use-rep", help="Embedding in .obsm to look in as well.")
    ] = None,
    alpha: Annotated[float, typer.Option(help="False discoveries among called groups.")] = 0.05,
    most: Annotated[float, typer.Option(help="Largest share of the cells.")] = 0.1,
    fewest: Annotated[int, typer.Option(help="Fewest cells of a group.")] = 3,
    splits: Annotated[int, typer.Option(help="How often reads are dealt out anew.")] = 3,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="h5ad to write.")] = None,
    seed: Seed = 0,
    transpose: Transpose = False,
    genome: Genome = None,
    device: Device = "auto",
    force: Force = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Find rare groups of cells, test them on reads that had no say in finding them."""
    import pancyte as pan
    from pancyte.corpus.write import prepare_obs, write_h5ad
    from pancyte.rare.finder import GroupLimits

    use_device(device)
    limits = GroupLimits(fewest=fewest, most=most, alpha=alpha, splits=splits)
    path = output(out, file.with_name(f"{file.stem}.rare.h5ad"), force=force)
    adata = pan.read(file, transpose=transpose, genome=genome)
    tell_changed(prepare_obs(adata))
    if dry_run:
        said = f"would look for rare groups among {adata.n_obs:,} cells and write {path}"
        emit({"cells": adata.n_obs, "out": str(path)}, [said], as_json=as_json)
        return
    pan.tl.rare(adata, limits=limits, model=model, use_rep=use_rep, seed=seed)
    write_h5ad(adata, path)
    table = adata.uns["rare_groups"]
    called = table[table["called"].astype(bool)]
    content = {
        "tried": len(table),
        "groups": [{"group": name, **row} for name, row in called.to_dict("index").items()],
        "out": str(path),
    }
    lines = [
        f"{name}: {row['cells']} cells, q = {row['q_value']:.1g}, "
        + ", ".join(row["markers"].split(", ")[:SHOWN])
        for name, row in called.iterrows()
    ]
    emit(content, [*lines, f"{len(called)} groups called; wrote {path}"], as_json=as_json)
