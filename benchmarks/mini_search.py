"""Search for the design of ``pancyte-mini`` on validation datasets, and write what was found.

Usage: ``python benchmarks/mini_search.py [DESIGN …] [--seeds 0 1 2] [--work FOLDER]``. Needs the
corpus of ``benchmarks/corpus.py`` in ``runs/corpus``. A design that FOLDER has a result of is not
run again. The validation datasets, and all that the final table is about, are left out of training.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from stamp import RESULTS, ROOT, stamp

import pancyte as pan
from pancyte.adaptation.probe import KNNProbe
from pancyte.corpus.cells import column, to_cells
from pancyte.metrics.classification import macro_f1
from pancyte.metrics.mixing import total
from pancyte.priors.coexpression import Coexpression
from pancyte.shapes import Cells
from pancyte.store.corpus import Corpus
from pancyte.tasks.baselines import PCA, Harmony
from pancyte.training.run import Run

RECIPE = ROOT / "recipes" / "pancyte-mini.yaml"
VALIDATION = {
    "baron, donors": (["baron_human"], "donor"),
    "baron, species": (["baron_human", "baron_mouse"], "dataset"),
    "hao, lanes": (["hao_pbmc_rna"], "batch"),
}
HELD_OUT = sorted({name for names, _ in VALIDATION.values() for name in names})
NOISE = {
    "name": "coexpression",
    "dims": 256,
    "cells": 8000,
    "target_sum": 1000,
    "per": "noise",
    "power": -0.5,
}
EFFECTS = {"name": "contrastive", "effects": 0.5, "pooling": "cls"}
TRAINED = {"objective": EFFECTS, "loop": {"rate": 2e-4}}
COUNTS = {"target_sum": 10000}
# studies that are validated or tested on helped to make these sets
SIGNATURES = {
    "name": "signatures",
    "dims": 256,
    "detected": 150,
    "without": ["MURARO_PANCREAS", "VANGURP_PANCREATIC"],
}
WIDE = {**COUNTS, "features": 12000}
COLD = {"name": "set", "depth": 2, "width": 256, "cold": 1.0}
UNTRAINED = {"loop": {"steps": 1, "rate": 1e-12}, "objective": {"name": "cell_value"}}
DESIGNS: dict[str, dict[str, Any]] = {
    "prior": UNTRAINED,
    "no prior, no training": {**UNTRAINED, "priors": []},
    "prior of correlations": {
        **UNTRAINED,
        "priors": [{**NOISE, "per": "deviation", "power": 0.5}],
    },
    "prior, 10,000 counts": {
        **UNTRAINED,
        "priors": [{**NOISE, **COUNTS}],
        "tokenizer": COUNTS,
    },
    "prior, power -1/4": {**UNTRAINED, "priors": [{**NOISE, "power": -0.25}]},
    "prior, 128": {**UNTRAINED, "priors": [{**NOISE, "dims": 128}], "backbone": {"width": 128}},
    "prior, 3,000 genes": {**UNTRAINED, "tokenizer": {"features": 3000}},
    "prior, 12,000 genes": {**UNTRAINED, "tokenizer": {"features": 12000}},
    "prior + contrastive effects": {"objective": EFFECTS},
    "prior + contrastive effects, depth 2": TRAINED,
    "prior, 10,000 counts + contrastive effects": {
        **TRAINED,
        "priors": [{**NOISE, **COUNTS}],
        "tokenizer": COUNTS,
    },
    "prior + contrastive effects, depth 1": {
        **TRAINED,
        "backbone": {"name": "set", "depth": 1, "width": 256},
    },
    "prior + contrastive effects, depth 4": {
        **TRAINED,
        "backbone": {"name": "set", "depth": 4, "width": 256},
    },
    "prior + contrastive effects, mean of tokens": {
        "objective": {**EFFECTS, "pooling": "mean"},
        "loop": {"rate": 2e-4},
        "pooling": "mean",
    },
    "prior + contrastive effects, down to a twentieth of the reads": {
        "objective": {**EFFECTS, "lowest": 0.05},
        "loop": {"rate": 2e-4},
    },
    "prior + contrastive halves": {"objective": {"name": "contrastive", "pooling": "cls"}},
    "prior + cell value": {"objective": {"name": "cell_value"}},
    "prior + denoise": {"objective": {"name": "denoise"}},
    "prior + masked value": {"objective": {"name": "masked_value"}},
    "contrastive effects, no prior": {"objective": EFFECTS, "priors": []},
    "signatures": {**UNTRAINED, "priors": [SIGNATURES], "tokenizer": COUNTS},
    "signatures, 12,000 genes": {
        **UNTRAINED,
        "priors": [SIGNATURES],
        "tokenizer": WIDE,
        "backbone": COLD,
    },
    "signatures + contrastive effects": {
        **TRAINED,
        "priors": [SIGNATURES],
        "tokenizer": COUNTS,
    },
    "signatures + contrastive effects, fixed genes": {
        **TRAINED,
        "priors": [SIGNATURES],
        "tokenizer": COUNTS,
        "backbone": COLD,
    },
    "signatures and co-expression, 12,000 genes": {
        **UNTRAINED,
        "priors": [{**SIGNATURES, "dims": 128}, {**NOISE, **COUNTS, "dims": 128, "detected": 150}],
        "tokenizer": WIDE,
        "backbone": COLD,
    },
    "transformer, prior + contrastive halves": {
        "backbone": {"name": "transformer", "depth": 2, "width": 256},
        "objective": {"name": "contrastive"},
        "tokenizer": {"max_length": 256},
        "pooling": "mean",
        "skip": 1,
    },
}


_table = Coexpression.table
_tables: dict[Any, Any] = {}


def once(prior: Coexpression, corpus: Any, rows: Any = None) -> Any:
    """Compute the same prior of the same cells once for all designs."""
    sizes = [-1 if own is None else len(own) for own in rows or []]
    key = (prior.config, tuple(part.name for part in corpus.parts), tuple(sizes))
    if key not in _tables:
        _tables[key] = _table(prior, corpus, rows)
    return _tables[key]


Coexpression.table = once


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("designs", nargs="*", default=list(DESIGNS))
    parser.add_argument("--work", type=Path, default=Path("runs/mini-search"))
    parser.add_argument("--corpus", type=Path, default=Path("runs/corpus"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    corpus = Corpus.open(given.corpus)
    asked = {name: (_cells(corpus, parts), key) for name, (parts, key) in VALIDATION.items()}
    for seed in given.seeds:
        for method in (PCA(), Harmony()):
            _once(given.work, method.name, seed, lambda method=method: baseline(method, asked))
        for name in given.designs:
            run = design(name, given.corpus, seed)
            _once(given.work, name, seed, lambda run=run: learned(run, given.work, asked))
    page = report(given.work)
    (RESULTS / "mini-search.md").write_text(page, encoding="utf-8")
    print(page)


def design(name: str, corpus: Path, seed: int) -> Run:
    """Return the recipe with this design's changes, without the validation datasets."""
    recipe = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))
    recipe["priors"] = [NOISE]
    recipe["tokenizer"]["target_sum"] = 1000
    recipe["loop"]["rate"] = 5e-4
    change = DESIGNS[name]
    for key, value in change.items():
        merges = isinstance(value, dict) and (key in ("tokenizer", "loop") or "name" not in value)
        recipe[key] = {**recipe[key], **value} if merges else value
    recipe["loop"]["seed"] = seed
    source = recipe["train"][0]
    source["source"] = str(corpus)
    source["without"]["dataset"] += HELD_OUT
    recipe["held_out"] = [{"source": str(corpus), "keep": {"dataset": HELD_OUT}}]
    recipe["held_out_cells"] = 500
    return Run.model_validate(recipe)


def learned(run: Run, work: Path, asked: dict[str, tuple[Cells, str]]) -> dict[str, Any]:
    """Train a design and score what it makes of the validation datasets."""
    model = pan.pretrain(run, work / "model", restart=True)
    scores = {}
    for name, (cells, key) in asked.items():
        scores[name] = scored(model.embed(cells), cells, key)
    losses = {k: v for k, v in model.card.training.items() if k.startswith(("held out", "trivial"))}
    return {"scores": scores, "losses": losses, "parameters": _size(model)}


def baseline(method: Any, asked: dict[str, tuple[Cells, str]]) -> dict[str, Any]:
    """Score a method that is fitted on the validation datasets themselves."""
    scores = {}
    for name, (cells, key) in asked.items():
        (vectors,) = method.embed(cells, batch_key=key, seed=0)
        scores[name] = scored(vectors, cells, key)
    return {"scores": scores}


def scored(vectors: np.ndarray, cells: Cells, key: str) -> dict[str, float]:
    """Biology and mixing in one, and macro-F1 where each batch is labelled after the others."""
    labels, batches = column(cells, "cell_type"), column(cells, key)
    known = ~np.isin(labels, ["", "nan", "unassigned"])
    vectors, labels, batches = vectors[known], labels[known], batches[known]
    found = []
    for batch in np.unique(batches):
        here = batches == batch
        if here.sum() < 20:
            continue
        probe = KNNProbe().fit(vectors[~here], labels[~here])
        shared = here & np.isin(labels, labels[~here])
        guess = probe.classes_[probe.predict_proba(vectors[shared]).argmax(axis=1)]
        found.append(macro_f1(labels[shared], guess))
    return {"total": total(vectors, labels, batches), "macro_f1": float(np.mean(found))}


def report(work: Path) -> str:
    """Return the page: every design's mean over seeds on every dataset, best first."""
    lines = [
        "# Search for pancyte-mini\n",
        "Designs by what they make, zero-shot, of validation datasets that they were not trained",
        "on: `total` (.6 biology + .4 mixing of batches) and macro-F1 of the 15 nearest",
        "neighbours' vote, each batch labelled after the others. PCA and Harmony are fitted on",
        "the validation data. Nothing here was trained on, or chosen by, the datasets of",
        "[pancyte-mini](pancyte-mini.md).\n",
        *stamp("python benchmarks/mini_search.py", "torch", "numpy"),
        "- the recipe is `recipes/pancyte-mini.yaml`, each design changes what it says; ± is the "
        "standard deviation over seeds, where there is more than one\n",
    ]
    return "\n".join([*lines, *designs(work), ""])


def designs(work: Path) -> list[str]:
    """Return the table as lines."""
    rows = []
    for path in sorted(work.glob("*.json")):
        row = json.loads(path.read_text(encoding="utf-8"))
        flat = {
            f"{name}: {metric}": v for name, s in row["scores"].items() for metric, v in s.items()
        }
        both = {m: np.mean([s[m] for s in row["scores"].values()]) for m in ("total", "macro_f1")}
        rows.append(
            {"design": row["name"], "seed": row["seed"], **both, **flat, "s": row["seconds"]}
        )
    table = pd.DataFrame(rows).groupby("design")
    means, seeds = table.mean(), table.size()
    spread = table[["total", "macro_f1"]].std().fillna(0)
    order = (means["total"] + means["macro_f1"]).sort_values(ascending=False).index
    names = [c for c in means.columns if c not in ("seed", "s", "total", "macro_f1")]
    lines = [
        "| design | seeds | total | macro-F1 | " + " | ".join(names) + " | s |",
        "|---|---:|---:|---:|" + "---:|" * (len(names) + 1),
    ]
    for name in order:
        row = means.loc[name]
        cells = [f"{row[c]:.3f}" for c in names]
        both = [
            f"{row[m]:.3f}" + (f" ± {spread.loc[name, m]:.3f}" if seeds[name] > 1 else "")
            for m in ("total", "macro_f1")
        ]
        lines.append(f"| {name} | {seeds[name]} | {' | '.join([*both, *cells])} | {row['s']:.0f} |")
    return lines


def _once(work: Path, name: str, seed: int, make: Any) -> None:
    path = work / f"{name.replace('/', '_').replace(' ', '_')}-{seed}.json"
    if path.exists():
        return
    began = time.process_time()
    found = make()
    found |= {"name": name, "seed": seed, "seconds": time.process_time() - began}
    path.write_text(json.dumps(found), encoding="utf-8")
    print(name, seed, json.dumps(found), flush=True)


def _cells(corpus: Corpus, names: list[str]) -> Cells:
    chosen = Corpus([p for p in corpus.parts if p.name in names], orthologs=True)
    adata = chosen.to_anndata()
    return to_cells(adata[:, adata.X.getnnz(axis=0) > 0].copy(), name=" and ".join(names))


def _size(model: pan.Model) -> int:
    return sum(p.numel() for p in model.backbone.parameters())


if __name__ == "__main__":
    main()
