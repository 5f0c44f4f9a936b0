"""Train each published design in miniature at one budget, and compare them on held-out studies.

Usage: ``python benchmarks/recipes.py [--steps N] [--cells N] [--work FOLDER] [recipe …]``. What is
in FOLDER already is used as it is, so an interrupted benchmark goes on.
"""

import argparse
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from stamp import RESULTS, ROOT, stamp

import pancyte as pan
from pancyte.benchmark.benchmark import ask_all
from pancyte.benchmark.results import Results, together
from pancyte.corpus.sources import load_cells
from pancyte.shapes import Cells
from pancyte.tasks.annotation import Annotation
from pancyte.tasks.dataset import Dataset
from pancyte.tasks.frozen import cell_hashes
from pancyte.training.run import load_run

RECIPES = (
    "geneformer-like",
    "scgpt-like",
    "uce-like",
    "cellplm-like",
    "scbert-like",
    "scfoundation-like",
    "tgpt-like",
)
ASKED = {"baron-human": "donor", "pancreas-4studies": "Dataset"}
HEADING = {
    "baron-human": "pancreas of Baron 2016, each donor after the others",
    "pancreas-4studies": "four pancreas studies, each after the others",
}


@dataclass
class Kept:
    """An embedding that was computed before: a vector for each cell, by the cell's content."""

    name: str
    vectors: dict[bytes, np.ndarray]

    def embed(self, reference, *queries, batch_key=None, seed=0):
        return tuple(
            np.stack([self.vectors[key] for key in cell_hashes(cells)])
            for cells in (reference, *queries)
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipes", nargs="*", default=RECIPES)
    parser.add_argument("--steps", type=int, help="instead of the recipes' own")
    parser.add_argument("--cells", type=int, default=800, help="of each held-out dataset")
    parser.add_argument("--prepare", action="store_true", help="train and embed only")
    parser.add_argument("--work", type=Path, default=Path("runs/recipes"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    sets = {name: some(load_cells(name), given.cells) for name in ASKED}
    made = []
    for name in given.recipes:
        trained(name, given)
        embedded(name, sets, given.work)
        made.append(name)
    if given.prepare:
        return
    results = compared(made, sets, given.work)
    text = page(made, results, given)
    (RESULTS / "recipes.md").write_text(text, encoding="utf-8")


def some(cells: Cells, number: int) -> Cells:
    """Draw cells of all groups alike, so that the set stays as mixed as it was."""
    rows = np.random.default_rng(0).permutation(len(cells))[:number]
    return cells.select(np.sort(rows))


def trained(name: str, given: argparse.Namespace) -> Path:
    """Pre-train a recipe's model, and note what it cost."""
    folder = given.work / name
    if folder.exists():
        return folder
    run = load_run(ROOT / "recipes" / f"{name}.yaml")
    if given.steps:
        loop = replace(run.loop, steps=given.steps, validate_every=given.steps)
        run = run.model_copy(update={"loop": loop})
    began = time.process_time()
    pan.pretrain(run, folder)
    cost = {"cpu seconds": time.process_time() - began}
    (given.work / f"{name}.cost.json").write_text(json.dumps(cost), encoding="utf-8")
    print(f"{name}: {cost['cpu seconds']:.0f} CPU-s", flush=True)
    return folder


def embedded(name: str, sets: dict[str, Cells], work: Path) -> dict[str, np.ndarray]:
    """Embed the held-out cells with a model and with its control, an untrained copy."""
    path = work / f"{name}.npz"
    if not path.exists():
        model = pan.load(work / name)
        found = {}
        for title, network in ((name, model), (f"random {name}", model.reinitialised(0))):
            began, cells = time.process_time(), 0
            for dataset, asked in sets.items():
                found[f"{title}|{dataset}"] = network.embed(asked)
                cells += len(asked)
            found[f"{title}|rate"] = np.array(cells / (time.process_time() - began))
        np.savez(path, **found)
        print(f"{name}: embedded", flush=True)
    return dict(np.load(path))


class Alone(Annotation):
    """The same questions without the baselines, which are asked once for all recipes."""

    def baselines(self, dataset: Dataset) -> tuple[str, ...]:
        return ()


def compared(names: list[str], sets: dict[str, Cells], work: Path) -> Results:
    """Score all embeddings and every baseline on the same folds."""
    datasets = [
        Dataset(cells, label_key="cell_type", batch_key=group, split_by=group, title=name)
        for name, group in ASKED.items()
        for cells in [sets[name]]
    ]
    parts = [scored(work / "results-baselines.json", ["majority"], Annotation(), datasets)]
    keys = {dataset: cell_hashes(cells) for dataset, cells in sets.items()}
    for name in names:
        vectors = embedded(name, sets, work)
        methods = [
            Kept(
                title,
                {
                    key: vector
                    for dataset in sets
                    for key, vector in zip(
                        keys[dataset], vectors[f"{title}|{dataset}"], strict=True
                    )
                },
            )
            for title in (name, f"random {name}")
        ]
        parts.append(scored(work / f"results-{name}.json", methods, Alone(), datasets))
    return together(parts)


def scored(path: Path, methods: list, task: Annotation, datasets: list[Dataset]) -> Results:
    if not path.exists():
        ask_all(methods, [(task, dataset) for dataset in datasets], seeds=[0]).to_json(path)
        print(path.name, flush=True)
    return Results.from_json(path)


def page(names: list[str], results: Results, given: argparse.Namespace) -> str:
    table = results.table
    table = table[table["metric"] == "macro_f1"]
    means = table.groupby(["method", "adaptation", "dataset"])["value"].mean()
    costs = [json.loads((given.work / f"{name}.cost.json").read_text()) for name in names]
    models = [pan.load(given.work / name) for name in names]
    training = models[0].card.training
    lines = [
        "# Published designs at equal budget\n",
        "Each design is a run file of `recipes/`, whose header says what of the published model it "
        "keeps and what not: the table compares designs, not the published models. All read the "
        "same cells and as many tokens, with networks of the same depth and width.\n",
        *stamp("python benchmarks/recipes.py", "torch", "pancyte"),
        f"- budget: {training['steps']} steps of {training['tokens per step']:,} tokens (padding "
        "included), 2 layers of width 128, one core, one seed of the weights",
        "- pre-trained on " + ", ".join(item["name"] for item in models[0].card.trained_on),
        f"- asked: {given.cells} cells of each held-out dataset; folds: "
        + "; ".join(f"{name}: {HEADING[name]}" for name in ASKED),
        "- macro F1, means over folds, each learning from 80 % of the reference; in brackets the "
        "range over folds of the difference to the same network with random weights",
        "- nothing was chosen on these scores\n",
        "## Pre-training\n",
        "| design | tokenizer | backbone | objective | parameters | CPU-s | cells embedded per "
        "CPU-s | held-out loss | its trivial predictor | best rival |",
        "|---|---|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, model, cost in zip(names, models, costs, strict=True):
        size = sum(p.numel() for p in model.backbone.parameters())
        rate = float(embedded(name, {}, given.work)[f"{name}|rate"])
        lines.append(
            f"| {name} | {model.tokenizer.name} | {model.backbone.name} | {model.objective.name} | "
            f"{size:,} | {cost['cpu seconds']:.0f} | {rate:.0f} | {losses(model)} |"
        )
    lines += [
        "",
        "Losses of different objectives have different units; compare along a row only. Where an "
        "objective has several terms, this is the first.\n",
        "## Cell types of held-out studies\n",
        "| method | | "
        + " | ".join(f"{name}, {a}" for name in ASKED for a in ("kNN", "logistic"))
        + " |",
        "|---|---|" + "---:|" * 4,
    ]
    for name in names:
        scores = [f"{means[name, a, d]:.3f} {gain(table, name, a, d)}" for d, a in places()]
        lines.append(f"| {name} | trained | " + " | ".join(scores) + " |")
        scores = [f"{means[f'random {name}', a, d]:.3f}" for d, a in places()]
        lines.append("| | random weights | " + " | ".join(scores) + " |")
    for name in ("pca", "harmony"):
        scores = [f"{means[name, a, d]:.3f}" for d, a in places()]
        lines.append(f"| {name} | baseline | " + " | ".join(scores) + " |")
    for name in ("l1-logistic", "majority"):
        scores = [f"{means[name, 'direct', d]:.3f}" if a == "logistic" else "" for d, a in places()]
        lines.append(f"| {name} | baseline, direct | " + " | ".join(scores) + " |")
    lines += ["", "## What it says\n", *verdict(names, table)]
    return "\n".join(lines) + "\n"


def places() -> list[tuple[str, str]]:
    return [(dataset, adaptation) for dataset in ASKED for adaptation in ("knn", "logistic")]


def losses(model: pan.Model) -> str:
    told = model.card.training
    term = next(key for key in told if key.startswith("held out")).removeprefix("held out ")
    rivals = {key: told[key] for key in told if key.startswith(f"rival {term}")}
    best = min(rivals, key=rivals.get) if rivals else None
    rival = f"{rivals[best]:.3f} ({best.removeprefix('rival ')})" if best else ""
    return f"{told[f'held out {term}']:.3f} | {told[f'trivial {term}']:.3f} | {rival}"


def differences(table, name: str, other: str, adaptation: str, dataset: str) -> np.ndarray:
    """Pair the scores of two methods by fold and seed."""
    rows = table[(table["dataset"] == dataset)]

    def scores(method, how):
        chosen = rows[(rows["method"] == method) & (rows["adaptation"] == how)]
        return chosen.set_index(["split", "seed"])["value"]

    gap = scores(name, adaptation) - scores(other, adaptation)
    return gap.to_numpy()


def gain(table, name: str, adaptation: str, dataset: str) -> str:
    gap = differences(table, name, f"random {name}", adaptation, dataset)
    return f"[{gap.min():+.2f}, {gap.max():+.2f}]"


def verdict(names: list[str], table) -> list[str]:
    lines = []
    for dataset, adaptation in places():
        against = {n: differences(table, n, f"random {n}", adaptation, dataset) for n in names}
        better = [n for n, gap in against.items() if gap.min() > 0]
        worse = [n for n, gap in against.items() if gap.max() < 0]
        ahead = [n for n in names if differences(table, n, "pca", adaptation, dataset).mean() > 0]
        lines.append(
            f"- {dataset}, {adaptation}: better than random weights in every fold: "
            f"{', '.join(better) or 'none'}; worse in every fold: {', '.join(worse) or 'none'}; "
            f"ahead of PCA on average: {', '.join(ahead) or 'none'}."
        )
    return lines


if __name__ == "__main__":
    main()
