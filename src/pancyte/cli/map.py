"""`pancyte map`: place cells among those of a reference that is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pancyte.cli.options import (
    AsJson,
    Device,
    DryRun,
    Force,
    Genome,
    Transpose,
    output,
    use_device,
)
from pancyte.cli.terminal import emit, tell_changed
from pancyte.errors import UsageError


def map(  # noqa: A001 -- the verb
    file: Annotated[Path, typer.Argument(help="Cells to place.")],
    reference: Annotated[
        Path, typer.Option("--reference", "-r", help="Labelled cells, or a saved index.")
    ],
    label_key: Annotated[
        str | None, typer.Option("--label-key", help="Column of the reference's labels.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Model folder; else the reference's PCA.")
    ] = None,
    save_index: Annotated[
        Path | None, typer.Option("--save-index", help="Folder to keep the index in.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="h5ad to write.")] = None,
    transpose: Transpose = False,
    genome: Genome = None,
    device: Device = "auto",
    force: Force = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Label cells by the votes of their nearest in a reference, which can be kept for next time."""
    import pancyte as pan
    from pancyte.corpus.write import prepare_obs, write_h5ad
    from pancyte.mapping.reference import FACTS, load_index
    from pancyte.models.load import load

    use_device(device)
    path = output(out, file.with_name(f"{file.stem}.mapped.h5ad"), force=force)
    one = None if model is None else load(model)
    index: Any
    if (reference / FACTS).is_file():
        if save_index is not None:
            raise UsageError(f"{reference} is an index already.", fix="Leave --save-index out.")
        index = load_index(reference, model=one)
    else:
        if label_key is None:
            raise UsageError("--label-key is missing.", fix="Name the reference's label column.")
        known = pan.read(reference)
        pan.tl.require_labels(known, label_key)
        if save_index is not None:
            save_index = output(save_index, save_index, force=force)
        index = pan.tl.build_index(
            known, label_key=label_key, model=one, save=None if dry_run else save_index
        )
    adata = pan.read(file, transpose=transpose, genome=genome)
    tell_changed(prepare_obs(adata))
    if dry_run:
        content = {"cells": adata.n_obs, "reference": len(index), "out": str(path)}
        line = f"would map {adata.n_obs:,} cells onto {len(index):,} and write {path}"
        emit(content, [line], as_json=as_json)
        return
    pan.tl.map(adata, index)
    write_h5ad(adata, path)
    counts = adata.obs["mapped_label"].value_counts()
    labels = {str(label): int(count) for label, count in counts.items() if count}
    lines = [f"{count:8,}  {label}" for label, count in labels.items()]
    content = {"labels": labels, "out": str(path), "maker": index.maker}
    emit(content, [*lines, f"wrote {path}"], as_json=as_json)
