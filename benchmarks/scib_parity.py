"""scIB's scores here and by scib-metrics: value by value, and CPU seconds of each.

Usage::

    python -m venv /tmp/scib && /tmp/scib/bin/pip install scib-metrics==0.5.10 "pynndescent<0.6"
    python benchmarks/scib_parity.py --peer /tmp/scib/bin/python [--work FOLDER]

Principal components, Harmony and pancyte-mini's vectors of three real sets. Everything scib-metrics
computes is computed twice: with neighbours of its own, as it does by default, and with the exact
ones that pancyte found. The second is what is compared.
"""

import argparse
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
from stamp import RESULTS, stamp

import pancyte as pan
from pancyte import registry
from pancyte.corpus.cells import column, to_cells
from pancyte.corpus.datasets import load_dataset
from pancyte.corpus.splits import stratified_subsample
from pancyte.metrics.scib import Scores, scib
from pancyte.metrics.survey import survey
from pancyte.tasks.frozen import FrozenModel

SETS = {
    "pancreas": ("pancreas-4studies", "Dataset", 2000),
    "cell lines": ("sc-mixology", "batch", 1103),
    "blood": ("kang-pbmc-ifnb", "condition", 1500),
}
NAMES = {
    "isolated_labels": "isolated_labels",
    "nmi_ari_cluster_labels_kmeans_nmi": "kmeans_nmi",
    "nmi_ari_cluster_labels_kmeans_ari": "kmeans_ari",
    "nmi_ari_cluster_labels_leiden_nmi": "leiden_nmi",
    "nmi_ari_cluster_labels_leiden_ari": "leiden_ari",
    "silhouette_label": "silhouette_label",
    "clisi_knn": "clisi",
    "bras": "bras",
    "ilisi_knn": "ilisi",
    "kbet_per_label": "kbet",
    "graph_connectivity": "graph_connectivity",
    "pcr_comparison": "pcr_comparison",
    "Bio conservation": "biology",
    "Batch correction": "batch",
    "Total": "total",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("runs/scib-parity"))
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    if not list(given.work.glob("*.npz")):
        prepare(given.work)
    ours = {path.stem: own_side(path) for path in sorted(given.work.glob("*.npz"))}
    if not (given.work / "peer.json").exists():
        script = Path(__file__).with_name("scib_peer.py")
        quiet = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONWARNINGS": "ignore"}
        subprocess.run([given.peer, script, given.work], check=True, env=quiet)
    # once more, so that both sides are measured at the beginning and at the end
    again = {path.stem: own_side(path) for path in sorted(given.work.glob("*.npz"))}
    peer = json.loads((given.work / "peer.json").read_text(encoding="utf-8"))
    page = report(ours, again, peer)
    (RESULTS / "scib-parity.md").write_text(page, encoding="utf-8")
    print(page)


def prepare(work: Path) -> None:
    """Write embeddings, columns and exact neighbours, a file each."""
    methods = [registry.get("methods", "pca")(), registry.get("methods", "harmony")()]
    methods.append(FrozenModel(pan.load("pancyte-mini")))
    for title, (source, batch_key, cells) in SETS.items():
        whole = to_cells(load_dataset(source), name=title)
        whole = whole.select(column(whole, "cell_type") != "")
        if len(whole) > cells:
            rows = stratified_subsample(column(whole, "cell_type"), cells / len(whole), seed=0)
            whole = whole.select(rows)
        for method in methods:
            (Z,) = method.embed(whole, batch_key=batch_key, seed=0)
            if method.name == "pca":
                before = Z
            near = survey(Z).near
            np.savez(
                work / f"{title}, {method.name}.npz",
                embedding=Z, before=before, labels=column(whole, "cell_type"),
                batches=column(whole, batch_key), indices=near.indices, distances=near.distances,
            )  # fmt: skip


def own_side(path: Path) -> dict[str, Any]:
    """Return pancyte's scores and its CPU seconds, without and with Leiden."""
    arrays = dict(np.load(path))
    found: dict[str, Any] = {"cells": len(arrays["labels"])}
    for leiden in (False, True):
        start = time.process_time()
        scores = scib(
            arrays["embedding"], arrays["labels"], arrays["batches"],
            before=arrays["before"], leiden=leiden,
        )  # fmt: skip
        name = "same" if leiden else "own"
        found |= {name: flat(scores), f"{name}_seconds": time.process_time() - start}
    return found


def flat(scores: Scores) -> dict[str, float]:
    """Return all scores and means by name."""
    means = {"biology": scores.biology_mean, "batch": scores.batch_mean, "total": scores.total}
    return scores.biology | scores.batch | means


def report(ours: dict[str, Any], again: dict[str, Any], peer: dict[str, Any]) -> str:
    """Return the page."""
    versions = ", ".join(f"{name} {number}" for name, number in peer["versions"].items())
    names = list(NAMES.values())
    worst = {name: 0.0 for name in names}
    values, lines = [], []
    for title, mine in ours.items():
        theirs = peer["scores"][title]
        same = {NAMES[key]: value for key, value in theirs["same"].items()}
        own = {NAMES[key]: value for key, value in theirs["own"].items()}
        for name in names:
            gap = mine["same"][name] - same[name]
            worst[name] = max(worst[name], abs(gap))
            apart = f"{own[name]:.4f}" if name in own else ""
            values.append(
                f"| {title} | {name} | {mine['same'][name]:.4f} | {same[name]:.4f} | {gap:+.4f} "
                f"| {apart} |"
            )
    ratios = []
    for title, mine in ours.items():
        theirs = peer["scores"][title]
        row = [title, f"{mine['cells']:,}"]
        for kind in ("own", "same"):
            mean = (mine[f"{kind}_seconds"] + again[title][f"{kind}_seconds"]) / 2
            ratio = theirs[f"{kind}_seconds"] / mean
            ratios.append((kind, ratio))
            row += [f"{mean:.2f}", f"{theirs[f'{kind}_seconds']:.1f}", f"{ratio:.0f}×"]
        lines.append("| " + " | ".join(row) + " |")
    plain = [ratio for kind, ratio in ratios if kind == "own"]
    swept = [ratio for kind, ratio in ratios if kind == "same"]
    return "\n".join([
        "# scIB's scores, beside scib-metrics\n",
        "The same embeddings, cell types, batches and exact neighbours are scored by "
        "`pancyte.metrics.scib` and by scib-metrics' Benchmarker.\n",
        *stamp("python benchmarks/scib_parity.py", "numpy", "scipy", "scikit-learn", "igraph"),
        f"- in an environment of its own: {versions}",
        "- one thread each; CPU seconds of scoring alone, without imports; scib-metrics compiles "
        "anew for each shape of data, which is in its seconds",
        f"- largest difference of any score: {max(worst.values()):.5f}",
        f"- less CPU than scib-metrics: median {np.median(plain):.0f}× "
        f"({min(plain):.0f}–{max(plain):.0f}) as its Benchmarker is by default, median "
        f"{np.median(swept):.0f}× ({min(swept):.0f}–{max(swept):.0f}) with Leiden's ten resolutions",
        "",
        "## Largest difference of each score\n",
        "| score | largest difference |",
        "|---|---:|",
        *[f"| {name} | {gap:.5f} |" for name, gap in worst.items()],
        "",
        "## CPU seconds\n",
        "Default: k-means, neighbours searched. With Leiden: scib-metrics is given the neighbours, "
        "pancyte searches them.\n",
        "| embedding | cells | pancyte | scib-metrics | ratio | pancyte, Leiden | scib-metrics | ratio |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
        *lines,
        "",
        "## Value by value\n",
        "The last column is scib-metrics with its own, approximate neighbours.\n",
        "| embedding | score | pancyte | scib-metrics | difference | its own neighbours |",
        "|---|---|---:|---:|---:|---:|",
        *values,
        "",
    ])  # fmt: skip


if __name__ == "__main__":
    main()
