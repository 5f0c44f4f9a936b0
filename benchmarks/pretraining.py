"""Every objective's held-out loss beside what must be beaten, and what the shipped model came of.

Usage: ``python benchmarks/pretraining.py [OBJECTIVE …] [--search FOLDER] [--mini FOLDER]``. Needs
``PANCYTE_DATA``. Trains a small network by each objective (a minute each; what ``--work`` has is
not trained again), and writes ``docs/results/pretraining.md`` and its figure. ``--search`` and
``--mini`` are what ``mini_search.py`` and ``mini.py`` keep their results in.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", NUMBA_NUM_THREADS="1")

import argparse
import json
import time
from pathlib import Path
from typing import Any

import pandas as pd
from mini import means
from mini_search import designs
from stamp import RESULTS, stamp

import pancyte as pan
from pancyte.benchmark.results import Results
from pancyte.training.run import Run

SEEDS, STEPS, EVERY = 1, 160, 20
OBJECTIVES: dict[str, dict[str, Any]] = {
    "masked value": {"name": "masked_value"},
    "masked value, no prior": {"name": "masked_value"},
    "masked value, negative binomial": {"name": "masked_value", "likelihood": "nb"},
    "masked value, zero-inflated": {"name": "masked_value", "likelihood": "zinb"},
    "generative": {"name": "generative"},
    "value from the cell": {"name": "cell_value"},
    "denoise": {"name": "denoise"},
    "masked class": {"name": "masked_class"},
    "expressed": {"name": "expressed"},
    "masked gene": {"name": "masked_gene"},
    "next gene": {"name": "next_gene"},
    "contrastive": {"name": "contrastive"},
    "elastic": {"name": "elastic"},
    "masked value + adversarial": {
        "name": "combined",
        "parts": [{"name": "masked_value"}, {"name": "adversarial", "weight": 0.1}],
    },
    "masked value + contrastive": {"name": "combined"},
}
TOKENIZERS = {
    "expressed": "rank",
    "masked_gene": "rank",
    "next_gene": "rank",
    "masked_class": "log2",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("objectives", nargs="*", default=list(OBJECTIVES))
    parser.add_argument("--work", type=Path, default=Path("runs/pretraining"))
    parser.add_argument("--search", type=Path, default=Path("runs/mini-search"))
    parser.add_argument("--mini", type=Path, default=Path("runs/mini"))
    given = parser.parse_args()
    for seed in range(SEEDS):
        for name in given.objectives:
            trained(name, seed, given.work)
    table = losses(given.work)
    drawn(table, RESULTS / "pretraining.png")
    text = page(table, given.search, given.mini)
    (RESULTS / "pretraining.md").write_text(text, encoding="utf-8")
    print(text)


def trained(name: str, seed: int, work: Path) -> None:
    """Pre-train by one objective; its losses are kept as ``NAME-SEED.jsonl``."""
    kept = _kept(work, name, seed)
    if kept.exists():
        return
    objective = OBJECTIVES[name]
    run = Run.model_validate({
        "name": "small",
        "train": ["kang-pbmc-ifnb", "covid-balf", "lung-delorey", "celltypist-sample"],
        "held_out": ["baron-human", "hao-pbmc"],
        "held_out_cells": 300,
        "tokenizer": {
            "name": TOKENIZERS.get(objective["name"], "continuous"),
            "features": 2500,
            "max_length": 256,
        },
        "backbone": {"name": "transformer", "depth": 2, "width": 64},
        "priors": [] if "no prior" in name else [{"name": "coexpression", "dims": 64}],
        "objective": objective,
        "loop": {
            "steps": STEPS, "tokens_per_step": 2048, "validate_every": EVERY, "seed": seed,
            "checkpoint_every": STEPS,
        },
    })  # fmt: skip
    began = time.process_time()
    pan.pretrain(run, work / "model", restart=True)
    text = (work / "model.run" / "loss.jsonl").read_text(encoding="utf-8")
    kept.write_text(text, encoding="utf-8")
    print(f"{name}, seed {seed}: {time.process_time() - began:.0f} CPU-s", flush=True)


def losses(work: Path) -> pd.DataFrame:
    """Held-out losses and what they are compared with, one row per objective, seed, step, term."""
    rows = []
    for name in OBJECTIVES:
        for seed in range(SEEDS):
            kept = _kept(work, name, seed)
            lines = kept.read_text(encoding="utf-8").splitlines() if kept.exists() else []
            for line in filter(lambda line: "held_out" in line, lines):
                found = json.loads(line)
                terms = [key.removeprefix("held_out_") for key in found if "held_out_" in key]
                for term in terms:
                    rivals = {
                        key.removeprefix(f"rival_{term}_"): value
                        for key, value in found.items()
                        if key.startswith(f"rival_{term}_by_")
                    }
                    rows.append({
                        "objective": name, "seed": seed, "step": found["step"], "term": term,
                        "loss": found[f"held_out_{term}"], "trivial": found.get(f"trivial_{term}"),
                        **rivals,
                    })  # fmt: skip
    return pd.DataFrame(rows)


def drawn(table: pd.DataFrame, path: Path) -> None:
    """One panel per objective and term: seeds as lines, dashed what must be beaten."""
    from matplotlib import pyplot as plt

    panels = list(table.groupby(["objective", "term"], sort=False))
    across = 4
    down = -(-len(panels) // across)
    figure, axes = plt.subplots(
        down, across, figsize=(11, 2.4 * down), constrained_layout=True, squeeze=False
    )
    for axis in axes.flat[len(panels) :]:
        axis.remove()
    others = [c for c in table.columns if c == "trivial" or c.startswith("by_")]
    for axis, ((name, term), part) in zip(axes.flat, panels, strict=False):
        for _, own in part.groupby("seed"):
            axis.plot(own["step"], own["loss"], color="#0072B2", lw=1)
        for colour, other in zip(("#555555", "#D55E00", "#009E73"), others, strict=False):
            if part[other].notna().any():
                label = other.replace("_", " ")
                axis.axhline(part[other].mean(), color=colour, ls="--", lw=1, label=label)
        axis.set_title(f"{name}\n{term.replace('_', ' ')}", fontsize=8)
        axis.tick_params(labelsize=7)
        axis.legend(fontsize=6, frameon=False)
    figure.supxlabel("step", fontsize=8)
    figure.supylabel("held-out loss", fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def page(table: pd.DataFrame, search: Path, mini: Path) -> str:
    """Return the page: losses, the search's designs, the shipped model's scores."""
    last = table[table["step"] == table.groupby("objective")["step"].transform("max")]
    others = [c for c in table.columns if c == "trivial" or c.startswith("by_")]
    lines = [
        TITLE,
        *stamp("python benchmarks/pretraining.py", "torch", "numpy"),
        TEXT,
        "| objective | term | held-out loss | "
        + " | ".join(other.replace("_", " ") for other in others)
        + " | lowest |",
        "|---|---|---:|" + "---:|" * len(others) + "---|",
    ]
    for (name, term), part in last.groupby(["objective", "term"], sort=False):
        own = part["loss"].mean()
        spread = f" ± {part['loss'].std():.3f}" if len(part) > 1 else ""
        beside = {other: part[other].mean() for other in others if part[other].notna().any()}
        best = min(beside, key=lambda other: beside[other], default=None)
        verdict = "no predictor" if best is None else best.replace("_", " ")
        if best is not None and own < beside[best]:
            verdict = "**the network**"
        shown = [f"{beside[o]:.3f}" if o in beside else "" for o in others]
        lines.append(
            f"| {name} | {term.replace('_', ' ')} | {own:.3f}{spread} | "
            f"{' | '.join(shown)} | {verdict} |"
        )
    lines += ["", "![Losses](pretraining.png)\n", ABLATION, *designs(search), "", MINI]
    found = [Results.from_json(path) for path in sorted(mini.glob("*.json"))]
    return "\n".join([*lines, *means(found, "pancyte-mini")])


def _kept(work: Path, name: str, seed: int) -> Path:
    work.mkdir(parents=True, exist_ok=True)
    return work / f"{name.replace(' ', '_').replace(',', '')}-{seed}.jsonl"


TITLE = """# Pre-training: what was learned, and what it was worth

Loss on datasets that were held out whole, beside the predictors that need no network; the
designs tried for `pancyte-mini`; and what the shipped model makes of datasets it has not seen.
"""

TEXT = f"""- training cells: Kang et al. (blood), Liao et al. (lung lavage), Delorey et al. (lung),
  a CellTypist sample; held out: Baron et al. (pancreas) and Hao et al. (blood), 300 cells
- 2 layers of 64, gene vectors that start from the training cells' co-expression where nothing else
  is said, 2,500 variable genes, 256 tokens a cell at most, {STEPS} steps of 2,048 tokens,
  which is short; seeds: {SEEDS}

"trivial" is the objective's own least predictor (gene mean, unigram by rank, the majority …),
"by" names stronger ones where there are some: the gene's mean at the cell's depth, the thinned
value as it stands, ridge regression from the visible genes.
"""

ABLATION = """## Designs of pancyte-mini

From [the search](mini-search.md): zero-shot scores on validation datasets that none of these
designs was trained on. What prior vectors of genes bring alone is [on its own page](priors.md).
"""

MINI = """## The shipped model on datasets it has not seen

From [its page](pancyte-mini.md), with every dataset by itself there.
"""

if __name__ == "__main__":
    main()
