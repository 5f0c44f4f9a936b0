"""Ways to bring batches together on real cells: biology and batch side by side.

Usage: ``python benchmarks/integration.py [--work FOLDER] [--deep-seeds 5]``. What FOLDER has
already is used as it is. Needs ``pancyte[scvi,scanorama]``.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from integration_report import report

import pancyte as pan
from pancyte import registry
from pancyte.corpus.cells import column, to_anndata, to_cells
from pancyte.corpus.datasets import load_dataset
from pancyte.corpus.splits import stratified_subsample
from pancyte.deciding.integration import choose, weigh
from pancyte.metrics.scib import scib
from pancyte.shapes import Cells
from pancyte.tasks.adversarial import AdversarialTuning
from pancyte.tasks.frozen import FrozenModel, RandomWeights
from pancyte.tasks.matched import Matched, Standardised

SEEDS = 5
CELLS = 1000
TOLD = 0.3
"""Share of cells whose labels scANVI is told; all methods are scored on the others."""
ALPHA, BETA, DELTA = "pancreatic A cell", "type B pancreatic cell", "pancreatic D cell"


def sets() -> Iterator[tuple[str, Cells, str]]:
    """Yield a title, cells with the column ``cell_type``, and the batch column."""
    yield "pancreas, four studies", cells_of("pancreas-4studies"), "Dataset"
    yield "blood, with interferon and without", cells_of("kang-pbmc-ifnb"), "condition"
    both = [cells_of("pbmc3k"), cells_of("kang-control")]
    from anndata import concat

    named = {"10x": to_anndata(both[0]), "Kang": to_anndata(both[1])}
    yield (
        "blood, two laboratories",
        to_cells(concat(named, label="batch", index_unique=" ")),
        "batch",
    )
    yield "cell lines, three platforms", cells_of("sc-mixology"), "batch"


def cells_of(source: str) -> Cells:
    """Load the labelled cells of a data set."""
    cells = to_cells(load_dataset(source), name=source)
    labels = column(cells, "cell_type")
    return cells.select(~np.isin(labels, ["", "unassigned"]))


def draw(cells: Cells, batch_key: str, seed: int) -> Cells:
    """Take up to 1,000 cells, types in proportion, each batch alike where sizes allow."""
    labels, batches = column(cells, "cell_type"), column(cells, batch_key)
    names = np.unique(batches)
    rows = []
    for name in names:
        mine = np.flatnonzero(batches == name)
        share = min(0.9, CELLS / len(names) / len(mine))
        rows.append(mine[stratified_subsample(labels[mine], share, seed=seed)])
    return cells.select(np.sort(np.concatenate(rows)))


def methods(model: Any) -> dict[str, Any]:
    """Name everything that needs no training, in the order of the table."""
    names = ("pca", "harmony", "combat", "scanorama", "matched", "standardised")
    found = {name: registry.get("methods", name)() for name in names}
    frozen = FrozenModel(model)
    for method in (frozen, RandomWeights(model), Matched(frozen), Standardised(frozen)):
        found[method.name] = method
    return found


def one_seed(cells: Cells, batch_key: str, seed: int, made: dict[str, Any]) -> list[dict[str, Any]]:
    """Embed by every method and score each on the cells whose labels nobody was told."""
    part = draw(cells, batch_key, seed)
    labels, batches = column(part, "cell_type"), column(part, batch_key)
    told = np.zeros(len(part), bool)
    told[stratified_subsample(labels, TOLD, seed=seed)] = True
    obs = part.obs.assign(told=np.where(told, labels, ""))
    part = replace(part, obs=obs)
    before = registry.get("methods", "pca")().embed(part, batch_key=batch_key, seed=seed)[0]
    rows, embeddings = [], {}
    for name, method in made.items():
        start = time.process_time()
        (Z,) = method.embed(part, batch_key=batch_key, seed=seed)
        seconds = time.process_time() - start
        embeddings[name] = np.asarray(Z, dtype=np.float64)
        found = scib(Z[~told], labels[~told], batches[~told], before=before[~told])
        rows.append({
            "method": name, "seed": seed, "cells": len(part), "scored": int((~told).sum()),
            "biology": found.biology_mean, "batch": found.batch_mean, "total": found.total,
            "seconds": seconds, **found.biology, **found.batch,
        })  # fmt: skip
    if seed == 0 and "pca" in made:
        with_labels = choose(weigh(embeddings, before, batches, labels))[0].method
        without = choose(weigh(embeddings, before, batches))[0].method
        for row in rows:
            row |= {
                "auto": row["method"] == with_labels,
                "auto_unlabelled": row["method"] == without,
            }
    return rows


def control(made: dict[str, Any]) -> list[dict[str, Any]]:
    """Two studies that share delta cells; alpha cells are in one only, beta cells in the other."""
    cells = cells_of("pancreas-4studies")
    studies, labels = column(cells, "Dataset"), column(cells, "cell_type")
    first, second = "Fasolino et al. 2022", "Tritschler et al. 2022"
    kept = ((studies == first) & np.isin(labels, [ALPHA, DELTA])) | (
        (studies == second) & np.isin(labels, [BETA, DELTA])
    )
    part = cells.select(kept)
    embeddings = {
        name: np.asarray(method.embed(part, batch_key="Dataset", seed=0)[0])
        for name, method in made.items()
    }
    batches, types = column(part, "Dataset"), column(part, "cell_type")
    found = weigh(embeddings, embeddings["pca"], batches, types)
    unseen = {e.method: e for e in weigh(embeddings, embeddings["pca"], batches)}
    return [
        one.row() | {"seen": bool(one.overcorrected), "cells": len(part),
                     "seen_unlabelled": bool(unseen[one.method].overcorrected)}
        for one in found
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("runs/integration"))
    parser.add_argument("--deep-seeds", type=int, default=SEEDS, help="0: nothing trained")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    model = pan.load("pancyte-mini")
    made = methods(model)
    tuned = AdversarialTuning(model)
    deep = {
        tuned.name: tuned,
        "scvi": registry.get("methods", "scvi")(),
        "scanvi": registry.get("methods", "scanvi")("told"),
    }
    path = given.work / "control.json"
    if not path.exists():
        path.write_text(json.dumps(control(made)), encoding="utf-8")
    tables = []
    for asked, seeds in ((made, SEEDS), (deep, given.deep_seeds)):
        for seed in range(seeds):
            for title, cells, batch_key in sets():
                kind = "trained" if asked is deep else "plain"
                each = given.work / f"{title}, {seed}, {kind}.json"
                if not each.exists():
                    rows = one_seed(cells, batch_key, seed, asked)
                    each.write_text(json.dumps(rows), encoding="utf-8")
                    print(each.stem, f"{time.process_time():.0f} CPU-s", flush=True)
                rows = json.loads(each.read_text(encoding="utf-8"))
                tables.append(pd.DataFrame(rows).assign(dataset=title))
        report(pd.concat(tables), json.loads(path.read_text(encoding="utf-8")))
    print(f"{time.process_time():.0f} CPU-s")


if __name__ == "__main__":
    main()
