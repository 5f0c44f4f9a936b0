"""`pancyte bench`: does it beat the simple baselines?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from pancyte.cli.options import AsJson, Device, DryRun, Force, output, use_device
from pancyte.cli.terminal import counting_bar, emit

if TYPE_CHECKING:
    from pancyte.adaptation.adapter import Kind


def bench(
    suite: Annotated[str, typer.Argument(help="Suite file (YAML), or the name of a shipped one.")],
    model: Annotated[
        list[str] | None, typer.Option("--model", "-m", help="Model folder; may be repeated.")
    ] = None,
    method: Annotated[
        list[str] | None, typer.Option("--method", help="Registered method; may be repeated.")
    ] = None,
    adapt: Annotated[
        list[str] | None,
        typer.Option(
            help="Ask each model also after training on the labels: lora, partial or full; "
            "may be repeated."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Results (.json); .csv and .md go beside.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(help="How many seeds, instead of the suite's.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="First seed.")] = 0,
    device: Device = "auto",
    force: Force = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Run models and every baseline on the same splits, and say who wins, by how much."""
    from pancyte.benchmark.suite import load_suite, run_suite
    from pancyte.models.load import load
    from pancyte.tasks.adapted import Adapted

    use_device(device)
    chosen = load_suite(suite)
    if dry_run:
        lines = [f"{run.name}: {', '.join(run.tasks)}" for run in chosen.runs]
        emit(chosen.model_dump(), lines, as_json=as_json)
        return
    path = output(out, Path(f"{chosen.name}.results.json"), force=force)
    models = [load(name) for name in model or ()]
    adapted = [Adapted(base, cast("Kind", kind)) for base in models for kind in adapt or ()]
    methods = [*models, *adapted, *(method or ())]
    count = seeds or chosen.seeds
    with counting_bar("benchmark") as progress:
        results = run_suite(
            chosen,
            methods,
            seeds=range(seed, seed + count),
            progress=lambda done, total, what: progress(done, total),
            folder=Path(suite).parent,
        )
    results.to_json(path)
    results.to_csv(path.with_suffix(".csv"))
    results.to_markdown(path.with_suffix(".md"))
    content = {"results": str(path), "failed": results.failed, "verdicts": results.verdicts}
    emit(content, [results.to_markdown(), f"wrote {path}"], as_json=as_json)
    if results.failed:
        raise typer.Exit(1)
