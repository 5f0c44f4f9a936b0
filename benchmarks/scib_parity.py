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

import igraph  # noqa: F401 -- its import is no part of the measurement
import numpy as np
from stamp import RESULTS, stamp

import pancyte as pan
from pancyte import registry
from pancyte.corpus.cells import column, to_cells
from pancyte.corpus.datasets import load_dataset
from pancyte.corpus.splits import stratified_subsample
from pancyte.metrics.scib import scib
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
    if not (given.work / "peer.json").exists():
        script = Path(__file__).with_name("scib_peer.py")
        quiet = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONWARNINGS": "ignore"}
        subprocess.run([given.peer, script, given.work], check=True, env=quiet)
    peer = json.loads((given.work / "peer.json").read_text(encoding="utf-8"))
    rounds = [[own_side(path) for path in sorted(given.work.glob("*.npz"))] for _ in range(3)]
    page = report(rounds, peer)
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
    found: dict[str, Any] = {"name": path.stem, "cells": len(arrays["labels"])}
    for leiden in (False, True):
        start = time.process_time()
        scores = scib(
            arrays["embedding"], arrays["labels"], arrays["batches"],
            before=arrays["before"], leiden=leiden,
        )  # fmt: skip
        found["swept" if leiden else "plain"] = time.process_time() - start
    means = {"biology": scores.biology_mean, "batch": scores.batch_mean, "total": scores.total}
    return found | {"scores": scores.biology | scores.batch | means}


def report(rounds: list[list[dict[str, Any]]], peer: dict[str, Any]) -> str:
    """Return the page."""
    versions = ", ".join(f"{name} {number}" for name, number in peer["versions"].items())
    worst = dict.fromkeys(NAMES.values(), 0.0)
    values = []
    for mine in rounds[0]:
        theirs = peer["scores"][mine["name"]]
        for key, name in NAMES.items():
            gap = mine["scores"][name] - theirs["same"][key]
            worst[name] = max(worst[name], abs(gap))
            own = f"{theirs['cold'][key]:.4f}" if key in theirs["cold"] else ""
            values.append(
                f"| {mine['name']} | {name} | {mine['scores'][name]:.4f} | "
                f"{theirs['same'][key]:.4f} | {gap:+.4f} | {own} |"
            )
    lines, ratios = costs(rounds, peer["seconds"])
    words = {"cold": "in a first call", "warm": "in a repeated one", "same": "with Leiden"}
    return "\n".join([
        "# scIB's scores, beside scib-metrics\n",
        "The same embeddings, cell types, batches and exact neighbours are scored by "
        "`pancyte.metrics.scib` and by scib-metrics' Benchmarker.\n",
        *stamp("python benchmarks/scib_parity.py", "numpy", "scipy", "scikit-learn", "igraph"),
        f"- in an environment of its own: {versions}",
        "- one thread each; CPU seconds of scoring three embeddings of a set, without imports",
        f"- largest difference of any score: {max(worst.values()):.5f}",
        "- CPU of scib-metrics over that of pancyte: "
        + "; ".join(
            f"{words[kind]} {np.median(found):.0f}× ({min(found):.0f}–{max(found):.0f})"
            for kind, found in ratios.items()
        ),
        "",
        "## CPU seconds\n",
        "*First call*: k-means without Leiden, as the Benchmarker does by default; JAX compiles "
        "for each shape of data. *Repeated*: the same cells again in the same process, nothing "
        "left to compile. *Leiden*: ten resolutions as well; scib-metrics is given the neighbours "
        "and has compiled already, pancyte searches them. pancyte: mean of three rounds, and "
        "their range.\n",
        "| cells | | pancyte | scib-metrics, first call | repeated | pancyte, Leiden | "
        "scib-metrics, Leiden |",
        "|---|---:|---:|---:|---:|---:|---:|",
        *lines,
        "",
        "## Largest difference of each score\n",
        "| score | largest difference |",
        "|---|---:|",
        *[f"| {name} | {gap:.5f} |" for name, gap in worst.items()],
        "",
        "## Value by value\n",
        "The last column is scib-metrics with its own, approximate neighbours.\n",
        "| embedding | score | pancyte | scib-metrics | difference | its own neighbours |",
        "|---|---|---:|---:|---:|---:|",
        *values,
        "",
    ])  # fmt: skip


def costs(
    rounds: list[list[dict[str, Any]]], theirs: dict[str, dict[str, float]]
) -> tuple[list[str], dict[str, list[float]]]:
    """Return a line for each set of cells, and the ratios of each kind of call."""
    lines = []
    ratios: dict[str, list[float]] = {"cold": [], "warm": [], "same": []}
    for title, seconds in theirs.items():
        sums = {
            kind: [sum(m[kind] for m in one if m["name"].startswith(title)) for one in rounds]
            for kind in ("plain", "swept")
        }
        cells = next(m["cells"] for m in rounds[0] if m["name"].startswith(title))
        shown = {k: f"{np.mean(s):.2f} ({min(s):.2f}–{max(s):.2f})" for k, s in sums.items()}
        for kind, found in ratios.items():
            mine = sums["swept" if kind == "same" else "plain"]
            found.append(seconds[kind] / float(np.mean(mine)))
        lines.append(
            f"| {title} | {cells:,} | {shown['plain']} | {seconds['cold']:.1f} | "
            f"{seconds['warm']:.1f} | {shown['swept']} | {seconds['same']:.1f} |"
        )
    return lines, ratios


if __name__ == "__main__":
    main()
