"""`pancyte demo`: the whole route on real data, in two minutes."""

from __future__ import annotations

import shutil
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pancyte.cli.options import AsJson, DryRun, Force, Seed, output
from pancyte.cli.terminal import counting_bar, emit, say, training_bar

if TYPE_CHECKING:
    from anndata import AnnData

    from pancyte.benchmark.results import Results
    from pancyte.models.model import Model

UNSEEN = "Fasolino 2022"
STEPS = (
    "pancyte check query.h5ad",
    "pancyte pretrain run.yaml -o model",
    "pancyte annotate query.h5ad -r reference.h5ad --label-key cell_type -m model "
    "--method logistic -o annotated.h5ad",
    "pancyte bench suite.yaml -m model -o results.json",
    "pancyte report -c annotated.h5ad -r results.json -t model.run --label-key cell_type "
    "--batch-key donor",
)
REPEAT = (
    "pancyte check YOURS.h5ad",
    "pancyte pretrain run.yaml -o model                  # put YOURS.h5ad under `train:` first",
    "pancyte annotate YOURS.h5ad -r LABELLED.h5ad --label-key COLUMN -m model -o annotated.h5ad",
    "pancyte bench suite.yaml -m model -o results.json   # name your files and columns in it first",
    "pancyte report -c annotated.h5ad -r results.json -t model.run",
)


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write.")] = Path(
        "pancyte-demo"
    ),
    seed: Seed = 0,
    force: Force = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Pre-train a small model, annotate a study it has not seen, benchmark it, write a report."""
    if dry_run:
        emit({"folder": str(out), "steps": list(STEPS)}, [f"cd {out}", *STEPS], as_json=as_json)
        return
    from pancyte.report.compose import Material, compose
    from pancyte.report.page import write_report

    folder = output(out, out, force=force)
    folder.mkdir(parents=True, exist_ok=True)
    query, reference = _material(folder)
    _step(1)
    model = _pretrain(folder, seed)
    adata = _annotate(folder, model, query, reference)
    results = _bench(folder, model, seed)
    _step(4)
    path = write_report(
        folder / "report.html",
        compose(
            Material(
                adata=adata,
                label_key="cell_type",
                batch_key="donor",
                results=results,
                run=folder / "model.run",
                commands=["pancyte demo", f"cd {folder}", *STEPS],
                repeat=REPEAT,
                title=f"Human pancreas: {UNSEEN}, not seen in pre-training",
            )
        ),
    )
    lines = [
        results.to_markdown(),
        "Repeat each step on your own file (in " + str(folder) + "):",
        *(f"  {line}" for line in REPEAT),
        f"\nReport: {path.resolve().as_uri()}",
    ]
    content = {"report": str(path), "failed": results.failed, "verdicts": results.verdicts}
    emit(content, lines, as_json=as_json)
    if results.failed:
        raise typer.Exit(1)


def _step(number: int) -> None:
    say(f"$ {STEPS[number]}")


def _material(folder: Path) -> tuple[AnnData, AnnData]:
    """Lay out the demo's files: a query, a reference, a run file and a suite."""
    import pancyte as pan
    from pancyte.corpus.write import write_h5ad

    whole = pan.load_dataset("demo-pancreas")
    unseen = (whole.obs["study"] == UNSEEN).to_numpy()
    query, reference = whole[unseen].copy(), whole[~unseen].copy()
    write_h5ad(query, folder / "query.h5ad")
    write_h5ad(reference, folder / "reference.h5ad")
    for name in ("run.yaml", "suite.yaml"):
        source = resources.files("pancyte.cli").joinpath("demo_files", name)
        (folder / name).write_text(source.read_text("utf-8"), encoding="utf-8")
    for stale in (folder / "model", folder / "model.run"):
        shutil.rmtree(stale, ignore_errors=True)
    _step(0)
    return pan.read(folder / "query.h5ad"), reference


def _pretrain(folder: Path, seed: int) -> Model:
    from dataclasses import replace

    from pancyte.training.pretrain import pretrain
    from pancyte.training.run import load_run

    run = load_run(folder / "run.yaml")
    run = run.model_copy(update={"loop": replace(run.loop, seed=seed)})
    with training_bar() as bar:
        model = pretrain(run, folder / "model", report=bar)
    facts = model.card.training
    say(f"  {facts['steps']} steps in {facts['seconds']} s; held-out loss beside the trivial one:")
    for name in facts:
        if name.startswith("held out "):
            term = name.removeprefix("held out ")
            say(f"  {term}: {facts[name]} against {facts[f'trivial {term}']}")
    return model


def _annotate(folder: Path, model: Model, query: AnnData, reference: AnnData) -> AnnData:
    import pancyte as pan
    from pancyte.corpus.write import write_h5ad

    _step(2)
    how: dict[str, Any] = {"label_key": "cell_type", "model": model, "method": "logistic"}
    pan.tl.annotate(query, reference=reference, **how)
    write_h5ad(query, folder / "annotated.h5ad")
    return query


def _bench(folder: Path, model: Model, seed: int) -> Results:
    from pancyte.benchmark.suite import load_suite, run_suite

    _step(3)
    suite = load_suite(folder / "suite.yaml")
    with counting_bar("benchmark") as progress:
        results = run_suite(
            suite,
            [model],
            seeds=range(seed, seed + suite.seeds),
            progress=lambda done, total, what: progress(done, total),
            folder=folder,
        )
    results.to_json(folder / "results.json")
    results.to_csv(folder / "results.csv")
    results.to_markdown(folder / "results.md")
    return results
