"""The tables of `rare.py`, from the answers it kept."""

from collections import defaultdict
from pathlib import Path

import numpy as np
from sklearn.metrics import average_precision_score

REPLICATES, FEWEST_SEEDS = 1000, 3
WHOLE = 200
"""Spike-ins of the whole protocol: five types, four shares, ten seeds."""
Rows = list[dict]


def page(work: Path, lines: list[str], cells: int) -> str:
    """All tables as one Markdown page."""
    rows = [judged(dict(np.load(path))) for path in sorted(work.glob("*.npz"))]
    methods = list(dict.fromkeys(row["method"] for row in rows))
    methods.sort(key=lambda name: name != "rare-groups")
    spikes = [row for row in rows if row["kind"] == "spike"]
    seeds = sorted({row["seed"] for row in spikes})
    seconds = {m: np.mean([r["seconds"] for r in rows if r["method"] == m]) for m in methods}
    head = [
        "# Rare populations\n",
        f"A real type is made rare among about {cells:,} real cells of others (at least three of "
        "its cells); no method is told how many there are, or whether there are any. **Blind** "
        "scores are of the cells a method names: all of them together, and the best single group "
        "among them. **Oracle** scores (area under precision and recall) are of its ranking of "
        "cells, and need the truth to choose a threshold.\n",
        "The labels are not the whole truth: cells called that are not of the spiked type are "
        "counted as wrong, though many are real groups that the labels lack (red cells, "
        "interferon responders, stressed cells).\n",
        *lines,
        f"- {len(spikes) // max(1, len(methods))} spike-ins, seeds {seeds[0]} to {seeds[-1]}; "
        "intervals: 95 %, by drawing seeds anew within each type and share",
        "- CPU-seconds per run, on a busy machine: "
        + ", ".join(f"{m} {seconds[m]:.1f}" for m in methods)
        + "\n",
    ]
    if len(spikes) < WHOLE * len(methods):
        head.append(
            f"**Unfinished: {len(spikes) // len(methods)} of {WHOLE} spike-ins have been run.** "
            "With so few, no method can be said to be better; the command goes on from there.\n"
        )
    parts = [
        by_share(spikes, methods, "best", "Blind: F1 of the best group among those called"),
        by_share(spikes, methods, "union", "Blind: F1 of all cells called"),
        by_share(spikes, methods, "area", "Oracle: area under precision and recall"),
        by_type(spikes, methods),
        precision(spikes, methods),
        discoveries(rows, methods),
        doublets(rows, methods),
    ]
    return "\n".join([*head, *parts])


def judged(run: dict) -> dict:
    """What one answer is worth."""
    rare, groups = run["rare"], run["groups"]
    union = groups.any(axis=0)
    right = (groups & rare).sum(axis=1)
    f1 = 2 * right / np.maximum(groups.sum(axis=1) + rare.sum(), 1)
    return {
        **{name: run[name].item() for name in ("kind", "title", "share", "seed", "method")},
        "seconds": float(run["seconds"]),
        "best": float(f1.max(initial=0)),
        "first": float(f1[0]) if len(f1) else 0.0,
        "union": float(2 * (union & rare).sum() / max(union.sum() + rare.sum(), 1)),
        "precision": float((union & rare).sum() / union.sum()) if union.any() else np.nan,
        "recall": float((union & rare).sum() / max(rare.sum(), 1)),
        "area": float(average_precision_score(rare, run["scores"])) if rare.any() else np.nan,
        "groups": len(groups),
        "called": int(union.sum()),
        "decoys": float((union & run["decoy"]).sum() / max(run["decoy"].sum(), 1)),
        "decoy_groups": int(((groups & run["decoy"]).sum(axis=1) * 2 > groups.sum(axis=1)).sum()),
    }


def table(header: list[str], rows: list[list[str]]) -> str:
    align = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, align, *rows]) + "\n"


def interval(rows: Rows, key: str) -> str:
    """Mean with a 95 % interval, over seeds within types and shares."""
    cells = defaultdict(list)
    for row in rows:
        cells[row["title"], row["share"]].append(row[key])
    mean = f"{np.mean([np.nanmean(v) for v in cells.values()]):.2f}"
    if min(map(len, cells.values())) < FEWEST_SEEDS:
        return mean
    rng = np.random.default_rng(0)
    drawn = [
        np.nanmean(np.array(v)[rng.integers(0, len(v), (REPLICATES, len(v)))], axis=1)
        for v in cells.values()
    ]
    means = np.mean(drawn, axis=0)
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{mean} [{low:.2f}, {high:.2f}]"


def by_share(rows: Rows, methods: list[str], key: str, title: str) -> str:
    shares = sorted({row["share"] for row in rows})
    lines = []
    for method in methods:
        own = [row for row in rows if row["method"] == method]
        each = [interval([r for r in own if r["share"] == share], key) for share in shares]
        lines.append([method, *each, interval(own, key)])
    return f"## {title}\n\n" + table(
        ["method", *(f"{100 * share:g} %" for share in shares), "all"], lines
    )


def by_type(rows: Rows, methods: list[str]) -> str:
    titles = list(dict.fromkeys(row["title"] for row in rows))
    lines = []
    for title in titles:
        own = [row for row in rows if row["title"] == title]
        each = [np.mean([r["best"] for r in own if r["method"] == m]) for m in methods]
        lines.append([title, *(f"{value:.2f}" for value in each)])
    return "## By type: F1 of the best group, mean over shares\n\n" + table(
        ["type", *methods], lines
    )


def precision(rows: Rows, methods: list[str]) -> str:
    lines = []
    for method in methods:
        own = [row for row in rows if row["method"] == method]
        lines.append(
            [
                method,
                f"{np.nanmean([r['precision'] for r in own]):.2f}",
                f"{np.mean([r['recall'] for r in own]):.2f}",
                f"{np.mean([r['recall'] > 0.5 for r in own]):.2f}",
                f"{np.mean([r['first'] for r in own]):.2f}",
                f"{np.mean([r['groups'] for r in own]):.1f}",
                f"{np.mean([r['called'] for r in own]):.0f}",
            ]
        )
    head = ["method", "precision", "recall", "more than half found", "F1 of its first group",
            "groups called", "cells called"]  # fmt: skip
    return "## What is called in all spike-ins\n\n" + table(head, lines)


def discoveries(rows: Rows, methods: list[str]) -> str:
    """What is called where there is nothing to find."""
    lines = []
    for kind, title in (("shuffled", "genes shuffled"), ("null", "one real type")):
        part = [row for row in rows if row["kind"] == kind]
        for method in methods:
            own = [row for row in part if row["method"] == method]
            if own:
                lines.append(
                    [
                        f"{title}: {method}",
                        str(len(own)),
                        f"{np.mean([r['groups'] > 0 and r['called'] > 0 for r in own]):.2f}",
                        f"{np.mean([r['groups'] for r in own]):.1f}",
                        f"{np.mean([r['called'] for r in own]):.0f}",
                    ]
                )
    if not lines:
        return ""
    head = ["cells", "runs", "runs with a call", "groups called", "cells called"]
    return (
        "## Nothing to find\n\nIn shuffled cells every call is false. Cells of one label are no "
        "proof of the same: they hold states and mislabelled cells.\n\n" + table(head, lines)
    )


def doublets(rows: Rows, methods: list[str]) -> str:
    lines = []
    for method in methods:
        own = [r for r in rows if r["kind"] == "doublets" and r["method"] == method]
        if own:
            share = np.mean([r["decoys"] for r in own])
            groups = np.mean([r["decoy_groups"] for r in own])
            lines.append([method, str(len(own)), f"{share:.2f}", f"{groups:.1f}"])
    if not lines:
        return ""
    head = ["method", "runs", "share of doublets called rare", "groups that are mostly doublets"]
    return (
        "## Doublets as decoys\n\nSums of a T cell and a monocyte, 2 % of the cells.\n\n"
        + table(head, lines)
    )
