"""The tables of a sweep's page, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pancyte.scaling.fit import NAMES, Law
from pancyte.scaling.plan import Compare
from pancyte.scaling.summary import Summary

BETWEEN = (
    "Extrapolations, all of them. An interval holds what chance and the misfit of the law between "
    "the points tried can do, and not that the law may end."
)
RANKS = (
    "Spearman's rank correlation of the loss with the score over the runs of the grid; -1 would "
    "mean that a lower loss always goes with a better score:"
)


def written(law: Law) -> str:
    """Write a law with the intervals of its numbers, and say which are not pinned."""
    told = []
    for at, name in enumerate(NAMES):
        low, high = law.interval(name)
        told.append(f"{name} {law.estimate[at]:.3g} [{low:.3g}, {high:.3g}]")
    loose = f"; not pinned: {', '.join(law.loose)}" if law.loose else ""
    return f"L = E + A/N^a + B/D^b, {', '.join(told)}{loose}"


def losses(summary: Summary, dataset: str) -> list[str]:
    """Losses by size and number of cells, simple predictors, and the law."""
    grid, column = summary.grid, f"loss:{dataset}"
    every = sorted(set(grid["cells"]))
    rows = []
    for (parameters, size), part in grid.groupby(["parameters", "size"]):
        means = [mean(part.loc[part["cells"] == cells, column]) for cells in every]
        rows.append([f"{size} ({parameters:,})", *means])
    simple = {f"trivial:{dataset}": "gene's mean", f"rival:{dataset}:by_ridge": "ridge regression"}
    for name, label in simple.items():
        if name in grid:
            once = grid.drop_duplicates(["cells", "seed"])
            means = [mean(once.loc[once["cells"] == cells, name]) for cells in every]
            rows.append([f"*{label}*", *means])
    lines = markdown(["parameters", *(f"{cells:,} cells" for cells in every)], rows)
    law = summary.laws.get(dataset)
    told = written(law) if law else f"No law: {summary.unfitted[dataset].rstrip('.')}"
    error = f" Typical error of the fit: {100 * law.residual:.1f} %." if law else ""
    return [*lines, "", f"{told}.{error}"]


def comparison(summary: Summary, part: Compare) -> list[str]:
    """Losses of a comparison beside those of the grid."""
    alone = f"cells of {summary.named(part)} only"
    what = f"the same {part.tokens:,} tokens" if part.tokens else alone
    rows, pair = [], summary.compared(part)
    if pair.empty:
        return []
    for (size, cells), found in pair.groupby(["size", "cells"]):
        row = [str(size), f"{cells:,}"]
        for dataset in summary.datasets:
            here, grid = found[f"loss:{dataset}"], found[f"loss:{dataset}:grid"]
            row += [mean(grid), mean(here), mean(here - grid, signed=True)]
        rows.append(row)
    kinds = ("grid", "here", "difference")
    heads = [f"{dataset}: {kind}" for dataset in summary.datasets for kind in kinds]
    return [f"## Compared: {what}", "", *markdown(["size", "cells", *heads], rows), ""]


def predictions(summary: Summary) -> list[str]:
    """What the laws predict, at what cost, and what is wrong with that."""
    table, wanted = summary.predictions(), summary.scale.predict
    if table.empty:
        return ["There is no law to predict from."]
    rows = [
        [
            row["dataset"],
            f"{row['parameters']:,}",
            f"{row['cells']:,}",
            f"{row['loss']:.3f} [{row['low']:.3f}, {row['high']:.3f}]",
            f"N {row['beyond_parameters']:,.3g} ×, D {row['beyond_cells']:,.0f} ×",
            f"{row['flops']:.1e}",
            duration(row["hours"]),
        ]
        for row in table.to_dict("records")
    ]
    per_cell = summary.grid["tokens_per_cell"].mean()
    cost = (
        f"Passes over the cells: {summary.scale.epochs:g}, with {per_cell:.0f} tokens a cell; time "
        f"is that of {wanted.device} at an assumed {100 * wanted.mfu:.0f} % of its peak, attention "
        "and heads left out."
    )
    caveats = [
        f"On {dataset} the runs do not pin {', '.join(law.loose)}: other laws fit them as well and "
        "say something else far away."
        for dataset, law in summary.laws.items()
        if law.loose
    ]
    heads = ["dataset", "parameters", "cells", "loss [90 %]", "beyond the data", "FLOPs", "time"]
    return [" ".join([BETWEEN, cost, *caveats]), "", *markdown(heads, rows)]


def scores(summary: Summary) -> list[str]:
    """Zero-shot scores beside those of random weights and PCA, and how they go with the loss."""
    names, controls = summary.scores, summary.controls
    rows = []
    for (_, size, _), part in summary.grid.groupby(["parameters", "size", "cells"]):
        cells = int(part["cells"].iloc[0])
        rows.append([str(size), f"{cells:,}", *(mean(part[name]) for name in names)])
    random = controls[controls["kind"] == "random"].sort_values("parameters", kind="stable")
    for size, part in random.groupby("size", sort=False):
        rows.append([f"*{size!s}, random weights*", "0", *(mean(part[name]) for name in names)])
    for _, row in controls[controls["kind"] == "pca"].iterrows():
        rows.append(["*PCA of the dataset itself*", "", *(mean([row[name]]) for name in names)])
    agreement: Any = summary.agreement().pivot(index="score", columns="dataset", values="rho")
    ranks = [
        [label(name), *(f"{agreement.loc[name, dataset]:+.2f}" for dataset in summary.datasets)]
        for name in names
    ]
    return [
        *markdown(["size", "cells", *map(label, names)], rows),
        "",
        RANKS,
        "",
        *markdown(["score", *(f"loss on {name}" for name in summary.datasets)], ranks),
    ]


def shares(summary: Summary, found: dict[str, pd.DataFrame]) -> list[str]:
    """Shares of variance of each setting, and where the mean is best and worst."""
    chosen = summary.scale.sensitivity
    factors = list(next(iter(found.values())).index)
    rows, means = [], []
    for name, table in found.items():
        rows.append([label(name), *(f"{100 * share:.0f} %" for share in table["share"])])
        for factor, row in table.loc[factors[:-1]].iterrows():
            ends = f"{row['lowest']:.3f}", str(row["at"]), f"{row['highest']:.3f}"
            means.append([label(name), str(factor), *ends])
    where = (
        "" if chosen is None else f"Size {chosen.size}, {chosen.cells:,} cells, all combinations. "
    )
    return [
        f"{where}Share of the variance over the runs that each setting explains by itself.",
        "",
        *markdown(["", *factors], rows),
        "",
        *markdown(["", "setting", "lowest mean", "at", "highest mean"], means),
    ]


def label(name: str) -> str:
    """Name a loss or score for people."""
    if name.startswith("loss:"):
        return f"loss on {name.removeprefix('loss:')}"
    dataset, task, _, metric = name.split("/")
    return f"{dataset}, {task}: {metric}"


def mean(values: Iterable[float], *, signed: bool = False) -> str:
    """Write the mean, and half of the range over seeds where there are several."""
    found = np.asarray(list(values), dtype=np.float64)
    found = found[~np.isnan(found)]
    if not len(found):
        return "–"
    told = f"{found.mean():+.3f}" if signed else f"{found.mean():.3f}"
    return f"{told} ± {np.ptp(found) / 2:.3f}" if len(found) > 1 else told


def duration(hours: float) -> str:
    """Write a duration in the unit that fits."""
    if hours >= 1:
        return f"{hours:,.1f} h"
    return f"{60 * hours:.1f} min" if hours >= 1 / 60 else f"{3600 * hours:.2g} s"


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay out a Markdown table."""
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows)]
