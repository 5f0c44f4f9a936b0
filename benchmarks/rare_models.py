"""Does a model that was pre-trained without a type help to find it?

Usage: ``python benchmarks/rare_models.py [--seeds 5] [--searches 1] [--work DIR]``. Two small
models are pre-trained alike on blood cells, one without B and plasma cells. B cells, 1 % of Kang's
cells, are then looked up from one of them by the nearest vectors, and looked for by `pan.tl.rare`
with each embedding as one more view (``--searches`` seeds, as a search takes longer).
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
from sklearn.metrics import average_precision_score
from stamp import RESULTS, stamp

import pancyte as pan
import rare as trials
from pancyte.models.model import Model
from pancyte.rare.finder import find_rare
from pancyte.tasks.baselines import components
from pancyte.tl.rare import by_model

WITHOUT = {"cell_type": ["B cells", "Plasma cells"]}
RUN = {
    "description": "A small model of blood cells, to see what leaving a type out does.",
    "tokenizer": {"name": "continuous", "features": 3000, "max_length": 4096},
    "priors": [{"name": "coexpression", "dims": 64, "per": "noise", "power": -0.5}],
    "backbone": {"name": "set", "depth": 2, "width": 128},
    "objective": {"name": "contrastive", "effects": 0.5, "pooling": "cls"},
    "pooling": "cls",
    "loop": {"steps": 60, "tokens_per_step": 32768, "rate": 2.0e-4, "validate_every": 60},
}
SHARE = 0.01


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--searches", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path("runs/rare-models"))
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    pan.settings.verbosity = 0
    warnings.simplefilter("ignore")
    models = {
        "pre-trained with B cells": trained(given.work, "with-b", {}),
        "pre-trained without B cells": trained(given.work, "without-b", {"without": WITHOUT}),
        "pancyte-mini (has seen B cells)": pan.load("pancyte-mini"),
    }
    models["untrained, prior without B cells"] = models[
        "pre-trained without B cells"
    ].reinitialised(0)
    looked, found = lookups(models, given.seeds), searches(models, given.searches)
    text = page(looked, found, stamp("python benchmarks/rare_models.py", "torch"))
    (RESULTS / "rare-models.md").write_text(text, encoding="utf-8")


def trained(work: Path, name: str, left_out: dict) -> Model:
    if (work / name).exists():
        return pan.load(work / name)
    from pancyte.training.run import Run

    run = Run.model_validate({"name": name, **RUN, "train": [{"source": "hao-pbmc", **left_out}]})
    return pan.pretrain(run, work / name)


def lookups(models: dict[str, Model], seeds: int) -> dict[str, list[float]]:
    """Mean area under precision and recall if each B cell in turn asks for the others."""
    answers: dict[str, list[float]] = {}
    for seed in range(seeds):
        trial = trials.spiked(trials.SPIKES[0], SHARE, seed)
        spaces = {name: model.embed(trial.cells) for name, model in models.items()}
        (spaces["principal components of these cells"],) = components(trial.cells, seed=seed)
        for name, Z in spaces.items():
            unit = Z - Z.mean(axis=0)
            unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
            each = []
            for row in np.flatnonzero(trial.rare):
                rest = np.arange(len(unit)) != row
                alike = unit[rest] @ unit[row]
                each.append(average_precision_score(trial.rare[rest], alike))
            answers.setdefault(name, []).append(float(np.mean(each)))
    return answers


def searches(models: dict[str, Model], seeds: int) -> dict[str, list[float]]:
    """F1 of the best group that is called, with each embedding as one more view."""
    answers: dict[str, list[float]] = {}
    for seed in range(seeds):
        trial = trials.spiked(trials.SPIKES[0], SHARE, seed)
        for name in ("expression alone", *models):
            views = {} if name not in models else {"model": by_model(models[name], trial.cells)}
            found = find_rare(trial.cells, views=views, seed=seed)
            called = [group.cells for group in found.groups if group.q <= 0.05]
            scores = [2 * trial.rare[g].sum() / (len(g) + trial.rare.sum()) for g in called]
            answers.setdefault(name, []).append(float(max(scores, default=0.0)))
    return answers


def page(looked: dict[str, list[float]], found: dict[str, list[float]], lines: list[str]) -> str:
    head = [
        "# Rare cells and pre-training\n",
        "Two small models were pre-trained alike on 1,336 blood cells (Hao et al. 2021), one "
        "without the B and plasma cells. B cells are then 1 % of 1,500 T cells and monocytes of "
        "another study (Kang et al. 2018), which no model has seen.\n",
        *lines,
        "- means over seeds, with the range\n",
        "| embedding | a B cell finds the others (area under precision and recall) "
        "| best called group with it as a view (F1) |",
        "| --- | ---: | ---: |",
    ]
    rows = [f"| {n} | {told(looked.get(n))} | {told(found.get(n))} |" for n in {**looked, **found}]
    return "\n".join([*head, *rows]) + "\n"


def told(values: list[float] | None) -> str:
    if not values:
        return ""
    return f"{np.mean(values):.2f} ({min(values):.2f} to {max(values):.2f}, {len(values)} seeds)"


if __name__ == "__main__":
    main()
