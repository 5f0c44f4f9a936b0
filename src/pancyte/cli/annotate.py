"""`pancyte annotate`: cell types from a labelled reference or from marker genes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
from pancyte.errors import UsageError

if TYPE_CHECKING:
    from anndata import AnnData


def annotate(
    file: Annotated[Path, typer.Argument(help="Cells to label.")],
    reference: Annotated[
        Path | None, typer.Option("--reference", "-r", help="Labelled cells.")
    ] = None,
    label_key: Annotated[
        str | None, typer.Option("--label-key", help="Column of the reference's labels.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option("--model", "-m", help="Model folder to try; repeatable.")
    ] = None,
    markers: Annotated[
        Path | None, typer.Option("--markers", help="GMT of marker genes, instead of a reference.")
    ] = None,
    donor_key: Annotated[
        str | None, typer.Option("--donor-key", help="Reference column to hold out; else found.")
    ] = None,
    alpha: Annotated[float, typer.Option(help="How often a label set may miss.")] = 0.1,
    novelty: Annotated[
        float, typer.Option(help="Novelty p-value below which none is given.")
    ] = 0.01,
    method: Annotated[
        str | None, typer.Option(help="logistic or knn: this on one model, nothing tried.")
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
    """Label cells in the way that is best on held-out donors, and say how sure each label is."""
    import pancyte as pan
    from pancyte.corpus.write import prepare_obs, write_h5ad
    from pancyte.models.load import load

    use_device(device)
    if (reference is None) == (markers is None) or (reference and label_key is None):
        raise UsageError(
            "It is not clear what to label by.",
            fix="Give --reference and --label-key, or --markers.",
        )
    path = output(out, file.with_name(f"{file.stem}.annotated.h5ad"), force=force)
    loaded = [load(name) for name in model or []]
    known = None if reference is None else pan.read(reference)
    if known is not None and label_key is not None:
        pan.tl.require_labels(known, label_key)
    adata = pan.read(file, transpose=transpose, genome=genome)
    tell_changed(prepare_obs(adata))
    if dry_run:
        source = f"{known.n_obs:,} cells" if known is not None else str(markers)
        content = {"cells": adata.n_obs, "reference": known and known.n_obs, "out": str(path)}
        emit(content, [f"would label {adata.n_obs:,} cells from {source} and write {path}"],
             as_json=as_json)  # fmt: skip
        return
    options: dict[str, Any] = {"markers": markers} if known is None else {
        "reference": known, "label_key": label_key, "model": loaded, "donor_key": donor_key,
        "alpha": alpha, "novelty": novelty, "seed": seed, "method": method,
    }  # fmt: skip
    pan.tl.annotate(adata, **options)
    write_h5ad(adata, path)
    _say(adata, path, as_json=as_json)


def _say(adata: AnnData, path: Path, *, as_json: bool) -> None:
    import pancyte as pan
    from pancyte.tl.frozen import UNLABELLED

    how = pan.tl.history(adata)[-1]
    labels = adata.obs["pancyte_label"].value_counts()
    lines = [f"{count:8,}  {label}" for label, count in labels.items() if count]
    content: dict[str, Any] = {
        "labels": {str(label): int(count) for label, count in labels.items() if count},
        "out": str(path),
    }
    if "pancyte_probability" in adata.obs:
        asked = adata.obs[adata.obs["pancyte_label"] != UNLABELLED]
        unsure = float((asked["pancyte_probability"] < 0.5).mean()) if len(asked) else 0.0
        lines.append(f"{unsure:8.1%}  of cells have a probability below .5")
        content["below_half"] = unsure
    if "why" in how:
        told = (
            "chosen",
            "why",
            "held_out",
            "laboratory",
            "wrong_labels",
            "second_opinion",
            "strangers",
        )
        content |= {name: how[name] for name in (*told, "cross_validation")}
    emit(content, [*lines, f"wrote {path}"], as_json=as_json)
