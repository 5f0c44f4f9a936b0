"""The report of a sweep: a page with its tables, the figure, and every run as one row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pancyte import files
from pancyte.scaling.figure import draw
from pancyte.scaling.fit import NAMES, Law
from pancyte.scaling.plan import Compare, Scale
from pancyte.scaling.summary import Summary, summarise
from pancyte.scaling.verdicts import verdicts

PAGE, FIGURE, TABLE = "scaling.md", "scaling.png", "scaling.csv"


@dataclass(frozen=True)
class Report:
    """The written report.

    Attributes
    ----------
    summary
        What was found.
    page
        The page, as Markdown.
    """

    summary: Summary
    page: str

    def content(self) -> dict[str, Any]:
        """Laws and predictions as plain data."""
        return {
            "runs": len(self.summary.runs),
            "laws": {
                dataset: {
                    name: [float(law.estimate[at]), *law.interval(name)]
                    for at, name in enumerate(NAMES)
                }
                | {"not_pinned": law.loose}
                for dataset, law in self.summary.laws.items()
            },
            "unfitted": self.summary.unfitted,
            "predictions": self.summary.predictions().to_dict("records"),
        }

    def lines(self) -> list[str]:
        """Say the laws in a line each."""
        laws = [f"{dataset}: {written(law)}" for dataset, law in self.summary.laws.items()]
        missing = [f"{dataset}: no law. {why}" for dataset, why in self.summary.unfitted.items()]
        return [f"{len(self.summary.runs)} runs", *laws, *missing, *verdicts(self.summary)]


def write_report(scale: Scale, found: Iterable[dict[str, Any]], folder: str | Path) -> Report:
    """Write ``scaling.md``, ``scaling.png`` and ``scaling.csv`` into a sweep's folder.

    Parameters
    ----------
    scale
        The sweep.
    found
        Its records.
    folder
        Where to write.

    Raises
    ------
    InputError
        If no run has been trained.
    """
    summary = summarise(scale, found)
    folder = Path(folder)
    draw(summary, save=folder / FIGURE)
    every = pd.concat([summary.runs, summary.controls], ignore_index=True)
    files.write_text(folder / TABLE, every.to_csv(index=False))
    report = Report(summary, "\n".join(_page(summary)) + "\n")
    files.write_text(folder / PAGE, report.page)
    return report


def written(law: Law) -> str:
    """Write a law with the intervals of its numbers, and say which are not pinned."""
    told = []
    for at, name in enumerate(NAMES):
        low, high = law.interval(name)
        told.append(f"{name} {law.estimate[at]:.3g} [{low:.3g}, {high:.3g}]")
    loose = f"; not pinned: {', '.join(law.loose)}" if law.loose else ""
    return f"L = E + A/N^a + B/D^b, {', '.join(told)}{loose}"


def _page(summary: Summary) -> list[str]:
    scale, runs = summary.scale, summary.runs
    size = f"{len(runs)} runs, {runs['tokens'].sum():,} tokens, {runs['flops'].sum():.2g} FLOPs"
    lines = [f"{size}, {runs['seconds'].sum() / 60:.0f} minutes of training.", ""]
    lines += [*(f"- {sentence}" for sentence in verdicts(summary)), ""]
    lines += [f"![Losses, comparisons, scores and shares of variance]({FIGURE})", ""]
    for dataset in summary.datasets:
        lines += [f"## Held-out loss: {dataset}", "", *_losses(summary, dataset), ""]
    for part in scale.compare:
        lines += _comparison(summary, part)
    lines += ["## What the law predicts", "", *_predictions(summary), ""]
    if summary.scores:
        lines += ["## Zero-shot", "", *_scores(summary), ""]
    if shares := summary.shares():
        lines += ["## What matters how much", "", *_shares(summary, shares), ""]
    return lines


def _losses(summary: Summary, dataset: str) -> list[str]:
    grid, column = summary.grid, f"loss:{dataset}"
    every = sorted(set(grid["cells"]))
    rows = []
    for (parameters, size), part in grid.groupby(["parameters", "size"]):
        losses = [part.loc[part["cells"] == cells, column] for cells in every]
        rows.append([f"{size} ({parameters:,})", *map(_mean, losses)])
    simple = {f"trivial:{dataset}": "gene's mean", f"rival:{dataset}:by_ridge": "ridge regression"}
    for name, label in simple.items():
        if name in grid:
            means = [grid.loc[grid["cells"] == cells, name] for cells in every]
            rows.append([f"*{label}*", *map(_mean, means)])
    lines = _table(["parameters", *(f"{cells:,} cells" for cells in every)], rows)
    law = summary.laws.get(dataset)
    told = written(law) if law else f"No law: {summary.unfitted[dataset]}"
    error = f" Typical error of the fit: {100 * law.residual:.1f} %." if law else ""
    return [*lines, "", f"{told}.{error}"]


def _comparison(summary: Summary, part: Compare) -> list[str]:
    first = ", ".join(Path(source.source).stem for source in summary.scale.base.train[: part.sources])
    what = f"the same {part.tokens:,} tokens" if part.tokens else f"cells of {first} only"
    pair = summary.compared(part)
    rows = []
    for (size, cells), found in pair.groupby(["size", "cells"]):
        row = [size, f"{cells:,}"]
        for dataset in summary.datasets:
            column = f"loss:{dataset}"
            gap = found[column] - found[f"{column}:grid"]
            row += [_mean(found[f"{column}:grid"]), _mean(found[column]), _mean(gap, signed=True)]
        rows.append(row)
    heads = [
        f"{dataset}: {kind}" for dataset in summary.datasets for kind in ("grid", "here", "difference")
    ]
    return [f"## Compared: {what}", "", *_table(["size", "cells", *heads], rows), ""]


def _predictions(summary: Summary) -> list[str]:
    table, wanted = summary.predictions(), summary.scale.predict
    if table.empty:
        return ["There is no law to predict from."]
    rows = [
        [
            row.dataset, f"{row.parameters:,}", f"{row.cells:,}",
            f"{row.loss:.3f} [{row.low:.3f}, {row.high:.3f}]",
            f"{row.times_more_cells:,.0f} ×", f"{row.flops:.1e}", _duration(row.hours),
        ]
        for row in table.itertuples()
    ]  # fmt: skip
    heads = ["dataset", "parameters", "cells", "loss [90 %]", "beyond the data", "FLOPs", "time"]
    loose = {dataset: law.loose for dataset, law in summary.laws.items() if law.loose}
    caveat = [
        f"On {dataset} the runs do not pin {', '.join(names)}: other laws fit them as well and say "
        "something else far away."
        for dataset, names in loose.items()
    ]
    return [
        "Extrapolations, all of them. The interval holds what chance and the misfit of the law between "
        "the points tried can do, not that the law may end. Each cell is seen "
        f"{summary.scale.epochs:g} times with {summary.grid['tokens_per_cell'].mean():.0f} tokens; time "
        f"is that of {wanted.device} at an assumed {100 * wanted.mfu:.0f} % of its peak, attention and "
        "heads left out.",
        *caveat, "", *_table(heads, rows),
    ]  # fmt: skip


def _scores(summary: Summary) -> list[str]:
    names, grid, controls = summary.scores, summary.grid, summary.controls
    rows = []
    for (_, size, cells), part in grid.groupby(["parameters", "size", "cells"]):
        rows.append([size, f"{cells:,}", *(_mean(part[name]) for name in names)])
    for size, part in controls[controls["kind"] == "random"].groupby("size", sort=False):
        rows.append([f"*{size}, random weights*", "0", *(_mean(part[name]) for name in names)])
    for _, row in controls[controls["kind"] == "pca"].iterrows():
        rows.append(["*PCA of the dataset itself*", "", *(f"{row[name]:.3f}" for name in names)])
    agreement = summary.agreement().pivot(index="score", columns="dataset", values="rho")
    told = [
        [_label(score), *(f"{agreement.loc[score, dataset]:+.2f}" for dataset in summary.datasets)]
        for score in names
    ]
    return [
        *_table(["size", "cells", *map(_label, names)], rows), "",
        "Spearman's rank correlation of the loss with the score over the runs of the grid; -1 would mean "
        "that a lower loss always goes with a better score:", "",
        *_table(["score", *(f"loss on {name}" for name in summary.datasets)], told),
    ]  # fmt: skip


def _shares(summary: Summary, shares: dict[str, pd.DataFrame]) -> list[str]:
    chosen = summary.scale.sensitivity
    factors = list(next(iter(shares.values())).index)
    rows, means = [], []
    for name, table in shares.items():
        rows.append([_label(name), *(f"{100 * table.loc[factor, 'share']:.0f} %" for factor in factors)])
        for factor in factors[:-1]:
            row = table.loc[factor]
            means.append([_label(name), factor, f"{row['lowest']:.3f}", f"{row['at']}", f"{row['highest']:.3f}"])
    told = "" if chosen is None else f"Size {chosen.size}, {chosen.cells:,} cells, all combinations. "
    return [
        f"{told}Share of the variance over the runs that each setting explains by itself.", "",
        *_table(["", *factors], rows), "",
        *_table(["", "setting", "lowest mean", "at", "highest mean"], means),
    ]  # fmt: skip


def _label(name: str) -> str:
    if name.startswith("loss:"):
        return f"loss on {name.removeprefix('loss:')}"
    dataset, task, _, metric = name.split("/")
    return f"{dataset}, {task}: {metric}"


def _mean(values: Iterable[float], *, signed: bool = False) -> str:
    """Write the mean, and half of the range over seeds where there are several."""
    found = np.asarray(list(values), dtype=np.float64)
    found = found[~np.isnan(found)]
    if not len(found):
        return "–"
    mean = f"{found.mean():+.3f}" if signed else f"{found.mean():.3f}"
    return f"{mean} ± {np.ptp(found) / 2:.3f}" if len(found) > 1 else mean


def _duration(hours: float) -> str:
    if hours >= 1:
        return f"{hours:,.1f} h"
    return f"{60 * hours:.1f} min" if hours >= 1 / 60 else f"{3600 * hours:.2g} s"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return [*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)]
