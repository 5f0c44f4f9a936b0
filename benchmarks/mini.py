"""What ``pancyte-mini`` makes of datasets it has not seen, beside every baseline and scVI.

Usage: ``python benchmarks/mini.py [--model NAME] [--work FOLDER] [--scvi-seeds N]``. Runs the
suite ``zero-shot``, a dataset at a time; what FOLDER has already is used as it is. Needs
``pancyte[scvi]``. scVI, which takes minutes a seed, is asked on the datasets that are embedded.
"""

import argparse
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from kept import kept
from stamp import RESULTS, stamp
from suites import spread

import pancyte as pan
from pancyte import registry
from pancyte.benchmark.benchmark import benchmark
from pancyte.benchmark.results import Results, together
from pancyte.benchmark.suite import Run, Suite, load_suite, run_suite, selected
from pancyte.corpus.canonical import fingerprints
from pancyte.corpus.cells import to_cells
from pancyte.corpus.datasets import load_dataset
from pancyte.corpus.sources import Source
from pancyte.shapes import Cells
from pancyte.tasks.frozen import FrozenModel
from pancyte.tasks.matched import Matched
from pancyte.tasks.scvi import SCVI

MINIBATCHES = 2000


class OnceTrained:
    """scVI trained once per seed on all cells of a dataset, labels unseen, and asked many times."""

    name = "scvi"

    def __init__(self, sources: list[str], batch_key: str | None) -> None:
        self.cells = [to_cells(load_dataset(name), name=name) for name in sources]
        self.batch_key = batch_key
        self.vectors: dict[int, dict[int, np.ndarray]] = defaultdict(dict)

    def embed(
        self, reference: Cells, *queries: Cells, batch_key: str | None, seed: int
    ) -> tuple[np.ndarray, ...]:
        known = self.vectors[seed]
        if not known:
            parts = SCVI(MINIBATCHES).embed(*self.cells, batch_key=self.batch_key, seed=seed)
            for cells, vectors in zip(self.cells, parts, strict=True):
                known.update(zip(_keys(cells), vectors, strict=True))
        return tuple(np.stack([known[key] for key in _keys(c)]) for c in (reference, *queries))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="pancyte-mini")
    parser.add_argument("--work", type=Path, default=Path("runs/mini"))
    parser.add_argument("--scvi-seeds", type=int, default=1, help="0 leaves scVI out")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    model, suite = pan.load(given.model), load_suite("zero-shot")
    found = []
    for run in suite.runs:
        path = given.work / f"{run.name.replace(' ', '_').replace(',', '')}.json"
        alone = Suite(name=suite.name, seeds=suite.seeds, runs=[run])
        parts = [kept(path, partial(run_suite, alone, [model]))]
        moved = partial(asked_of, [Matched(), Matched(FrozenModel(model))], run, suite.seeds)
        parts.append(kept(path.with_suffix(".matched.json"), moved))
        if given.scvi_seeds and "embedding" in run.tasks:
            scvi = partial(asked_of_scvi, run, given.scvi_seeds)
            parts.append(kept(path.with_suffix(".scvi.json"), scvi))
        found.append(together(parts))
    page = report(model, suite, found)
    (RESULTS / "pancyte-mini.md").write_text(page, encoding="utf-8")
    print(page)


def asked_of_scvi(run: Run, seeds: int) -> Results:
    sources = [run.reference.source, *([run.query.source] if run.query else [])]
    return asked_of([OnceTrained(sources, run.reference.batch_key)], run, seeds)


def asked_of(methods: list[Any], run: Run, seeds: int) -> Results:
    """Ask methods the run's questions; the baselines have been asked already."""

    def load(source: Source) -> Cells:
        return selected(to_cells(load_dataset(source.source)), source)

    tasks = [
        type(name, (registry.get("tasks", name),), {"baselines": lambda self, dataset: []})()
        for name in run.tasks
    ]
    return benchmark(methods, tasks=tasks, datasets=[run.dataset(load)], seeds=range(seeds))


def report(model: Any, suite: Suite, found: list[Results]) -> str:
    """Return the page."""
    seeds = {seed for results in found for seed in results.table.query("method == 'scvi'").seed}
    asked_scvi = f"seeds: {len(seeds)}; at most 200 epochs or {MINIBATCHES:,} minibatches of 128"
    size = sum(parameter.numel() for parameter in model.backbone.parameters())
    lines = [
        "# pancyte-mini, zero-shot\n",
        suite.description,
        "",
        *stamp("python benchmarks/mini.py", "torch", "scikit-learn", "harmonypy"),
        f"- model: {model.name}, {size:,} parameters, `{model.fingerprint()[:12]}`; pre-trained on "
        + ", ".join(item["name"] for item in model.card.trained_on),
        f"- {suite.seeds} seeds, each with another 80 % of the cells, or of the reference",
        "- Harmony is fitted on all cells and batches, and so is scVI "
        f"({asked_scvi}); PCA is fitted on the reference; the model on none of them",
        "- `matched` moves each batch of frozen vectors as one body, told batches as Harmony is;",
        "  it was chosen among four such corrections on parts of these sets: a little too good",
        "",
        "## In short\n",
        "| dataset | task | metric | pancyte-mini | best baseline | value | difference | |",
        "|---|---|---|---:|---|---:|---|---|",
    ]
    for results in found:
        lines += [
            _line(verdict)
            for verdict in results.verdicts
            if verdict["headline"] and verdict["method"] == model.name
        ]
    lines += ["", *means(found, model.name), ""]
    for results in found:
        lines += [spread(results).replace("## ", "### "), results.to_markdown()]
    return "\n".join(lines)


def _line(verdict: dict[str, Any]) -> str:
    gap = f"{verdict['difference']:+.3f} [{verdict['low']:+.3f}, {verdict['high']:+.3f}]"
    return (
        f"| {verdict['dataset']} | {verdict['task']} ({verdict['adaptation']}) | "
        f"{verdict['metric']} | {verdict['model_value']:.3f} | {verdict['baseline']} | "
        f"{verdict['baseline_value']:.3f} | {gap} | {verdict['winner']} |"
    )


def means(found: list[Results], name: str) -> list[str]:
    """Mean over datasets of the two headline questions, for every method that answers."""
    table = pd.concat([results.table for results in found])
    asked = {
        "total, embedding": (table.task == "embedding") & (table.metric == "total"),
        "macro-F1, 15 nearest neighbours": (table.task == "annotation")
        & (table.metric == "macro_f1")
        & (table.adaptation == "knn"),
    }
    lines = ["## Mean over datasets\n"]
    for title, rows in asked.items():
        scores = table[rows].groupby(["method", "dataset"])["value"].mean().unstack()
        scores["mean"] = scores.mean(axis=1, skipna=False)
        lines += [f"**{title}**\n", "| method | " + " | ".join(scores.columns) + " |"]
        lines.append("|---|" + "---:|" * len(scores.columns))
        for method, row in scores.sort_values("mean", ascending=False).iterrows():
            shown = f"**{method}**" if method == name else method
            lines.append(
                f"| {shown} | " + " | ".join("" if np.isnan(v) else f"{v:.3f}" for v in row) + " |"
            )
        lines.append("")
    return lines


def _keys(cells: Cells) -> list[int]:
    return [int(key) for key in fingerprints(cells)]


if __name__ == "__main__":
    main()
