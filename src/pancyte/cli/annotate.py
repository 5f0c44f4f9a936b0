"""`pancyte annotate`: cell types from a labelled reference."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pancyte.cli.options import AsJson, Device, DryRun, Force, Genome, Transpose, output, use_device
from pancyte.cli.terminal import emit, tell_changed


def annotate(
    file: Annotated[Path, typer.Argument(help="Cells to label.")],
    reference: Annotated[Path, typer.Option("--reference", "-r", help="Labelled cells.")],
    label_key: Annotated[str, typer.Option("--label-key", help="Column of the labels.")],
    model: Annotated[str, typer.Option("--model", "-m", help="Model folder.")],
    method: Annotated[str, typer.Option(help="logistic or knn.")] = "logistic",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="h5ad to write.")] = None,
    transpose: Transpose = False,
    genome: Genome = None,
    device: Device = "auto",
    force: Force = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Label each cell, with a probability, by comparison with a reference in a frozen embedding."""
    import pancyte as pan
    from pancyte.corpus.write import prepare_obs, write_h5ad
    from pancyte.models.load import load

    use_device(device)
    path = output(out, file.with_name(f"{file.stem}.annotated.h5ad"), force=force)
    loaded = load(model)
    known = pan.read(reference)
    pan.tl.require_labels(known, label_key)
    adata = pan.read(file, transpose=transpose, genome=genome)
    tell_changed(prepare_obs(adata))
    if dry_run:
        line = f"would label {adata.n_obs:,} cells from {known.n_obs:,} and write {path}"
        emit(
            {"cells": adata.n_obs, "reference": known.n_obs, "out": str(path)},
            [line],
            as_json=as_json,
        )
        return
    pan.tl.annotate(adata, reference=known, label_key=label_key, model=loaded, method=method)
    write_h5ad(adata, path)
    labels = adata.obs["pancyte_label"].value_counts()
    unsure = float((adata.obs["pancyte_probability"] < 0.5).mean())
    lines = [f"{count:8,}  {label}" for label, count in labels.items() if count]
    lines.append(f"{unsure:8.1%}  of cells have a probability below .5")
    lines.append(f"wrote {path}")
    content = {
        "labels": {str(label): int(count) for label, count in labels.items()},
        "below_half": unsure,
        "out": str(path),
    }
    emit(content, lines, as_json=as_json)
