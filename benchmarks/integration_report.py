"""The page of ``integration.py``."""

from typing import Any

import numpy as np
import pandas as pd
from stamp import RESULTS, stamp

SHOWN = ("isolated_labels", "kmeans_nmi", "kmeans_ari", "silhouette_label", "clisi",
         "bras", "ilisi", "kbet", "graph_connectivity", "pcr_comparison")  # fmt: skip


def interval(values: pd.Series) -> str:
    """Mean and 95 % interval over seeds (Student)."""
    from scipy.stats import t

    if len(values) < 2:
        return f"{values.mean():.3f}"
    reach = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return f"{values.mean():.3f} ± {reach:.3f}"


def report(table: pd.DataFrame, control: list[dict[str, Any]]) -> None:
    """Write the page."""
    sizes = table.groupby("dataset", sort=False)[["cells", "scored"]].first()
    lines = [
        "# Integration\n",
        "Ways to bring batches together, on real cells. Biology and batch are scIB's "
        "([equal to scib-metrics](scib-parity.md)), the total is .6 biology + .4 batch.\n",
        *stamp("python benchmarks/integration.py", "scanpy", "harmonypy", "scanorama",
               "scvi-tools", "torch"),
        "- cells (scored): "
        + "; ".join(f"{name} {row.cells:,} ({row.scored:,})" for name, row in sizes.iterrows()),
        "- 5 seeds: each draws other cells, batches alike where their sizes allow; ± is the 95 % "
        "interval of the mean over seeds",
        "- the labels of 30 % of the cells are for scANVI to learn from; all are scored on the "
        f"other 70 %; {_trained(table)}",
        "- `matched` was chosen among four linear corrections on parts of these very sets (lab "
        "notes), so its scores are a little too good",
        "- *auto* is what `pan.tl.integrate` takes of those without training, for seed 0, with all "
        "labels and with none",
        "",
        "## In short\n",
        "| method | " + " | ".join(sizes.index) + " | mean biology | mean batch | mean total |",
        "|---|" + "---:|" * (len(sizes) + 3),
    ]  # fmt: skip
    means = table.groupby(["method", "dataset"], sort=False)["total"].mean().unstack()
    overall = table.groupby(["method", "dataset"])[["biology", "batch", "total"]].mean()
    overall = overall.groupby("method").mean()
    overall = overall[means.reindex(overall.index).notna().all(axis=1)]
    for name in overall.sort_values("total", ascending=False).index:
        each = " | ".join(f"{means.loc[name, title]:.3f}" for title in sizes.index)
        row = overall.loc[name]
        lines.append(f"| {name} | {each} | {row.biology:.3f} | {row.batch:.3f} | {row.total:.3f} |")
    for title in sizes.index:
        lines += ["", f"## {title}\n", *_one(table[table.dataset == title])]
    lines += [
        "",
        "## Against no integration, pair by pair\n",
        *_pairs(table),
        "",
        *_control(control),
    ]
    (RESULTS / "integration.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _trained(table: pd.DataFrame) -> str:
    """Say how far the methods that must be trained were asked."""
    seeds = table[table.method == "scanvi"].groupby("dataset")["seed"].nunique()
    if seeds.empty:
        return "**scVI and scANVI were not run this time**"
    told = ", ".join(f"{name} {count}" for name, count in seeds.items())
    return f"seeds of scVI and scANVI: {told}"


def _one(table: pd.DataFrame) -> list[str]:
    lines = [
        "| method | biology | batch | total | CPU s | " + " | ".join(SHOWN) + " |",
        "|---|---:|---:|---:|---:|" + "---:|" * len(SHOWN),
    ]
    order = table.groupby("method")["total"].mean().sort_values(ascending=False).index
    first = table[table.seed == 0].set_index("method")
    for name in order:
        rows = table[table.method == name]
        marks = [
            text
            for key, text in (("auto", "auto"), ("auto_unlabelled", "auto, no labels"))
            if name in first.index and first.loc[name].get(key) is True
        ]
        shown = f"{name} *({'; '.join(marks)})*" if marks else name
        scores = " | ".join(f"{rows[key].mean():.2f}" for key in SHOWN)
        # a frozen model embeds each cell once: its first seed is what it costs
        seconds = rows["seconds"].max()
        lines.append(
            f"| {shown} | {interval(rows.biology)} | {interval(rows.batch)} | "
            f"{interval(rows.total)} | {seconds:.1f} | {scores} |"
        )
    return lines


def _pairs(table: pd.DataFrame) -> list[str]:
    """Difference of each method from principal components of the same draw."""
    plain = table[table.method == "pca"].set_index(["dataset", "seed"])
    lines = ["| method | biology | batch | total |", "|---|---:|---:|---:|"]
    for name, rows in table.groupby("method", sort=False):
        if name == "pca":
            continue
        rows = rows.set_index(["dataset", "seed"])
        shown = []
        for key in ("biology", "batch", "total"):
            gap = (rows[key] - plain[key].reindex(rows.index)).groupby("seed").mean()
            shown.append(interval(gap))
        lines.append(f"| {name} | " + " | ".join(shown) + " |")
    return lines


def _control(rows: list[dict[str, Any]]) -> list[str]:
    lines = [
        "## Control: batch and biology confounded\n",
        f"{rows[0]['cells']} cells of two pancreas studies that share delta cells; alpha cells are "
        "in one study only, beta cells in the other. An aligner that is sure of itself lays alpha "
        "cells over beta cells. *Seen*: `pan.tl.integrate` warns of it and `auto` refuses it, with "
        "labels and with none.\n",
        "| method | biology | batch | total | own type among 15 nearest, before → after | seen | "
        "without labels |",
        "|---|---:|---:|---:|---|---|---|",
    ]
    for row in sorted(rows, key=lambda r: -r["total"]):
        lost = "; ".join(row["lost"]) or "not lost"
        lines.append(
            f"| {row['method']} | {row['biology']:.3f} | {row['batch']:.3f} | {row['total']:.3f} | "
            f"{lost} | {'yes' if row['seen'] else ''} | "
            f"{'yes' if row['seen_unlabelled'] else ''} |"
        )
    return lines
