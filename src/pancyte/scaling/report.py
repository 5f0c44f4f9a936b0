"""The report of a sweep: a page with its tables, the figure, and every run as one row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pancyte import files
from pancyte.scaling import tables
from pancyte.scaling.figure import draw
from pancyte.scaling.fit import NAMES
from pancyte.scaling.plan import Scale
from pancyte.scaling.points import points
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
        laws = [f"{dataset}: {tables.written(law)}" for dataset, law in self.summary.laws.items()]
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


def _left(summary: Summary) -> str:
    """Say which runs are missing, if any."""
    done = set(summary.runs["name"])
    left = [point.name for point in points(summary.scale) if point.name not in done]
    few = ", ".join(left[:4]) + (" …" if len(left) > 4 else "")
    return f" {len(left)} runs are missing, and not in what follows: {few}." if left else ""


def _page(summary: Summary) -> list[str]:
    scale, runs = summary.scale, summary.runs
    size = f"{len(runs)} runs, {runs['tokens'].sum():,} tokens, {runs['flops'].sum():.2g} FLOPs"
    lines = [f"{size}, {runs['seconds'].sum() / 60:.0f} minutes of training.{_left(summary)}", ""]
    lines += [*(f"- {sentence}" for sentence in verdicts(summary)), ""]
    lines += [f"![Losses, comparisons, scores and shares of variance]({FIGURE})", ""]
    for dataset in summary.datasets:
        lines += [f"## Held-out loss: {dataset}", "", *tables.losses(summary, dataset), ""]
    for part in scale.compare:
        lines += tables.comparison(summary, part)
    lines += ["## What the law predicts", "", *tables.predictions(summary), ""]
    if summary.scores:
        lines += ["## Zero-shot", "", *tables.scores(summary), ""]
    if shares := summary.shares():
        lines += ["## What matters how much", "", *tables.shares(summary, shares), ""]
    return lines
