"""The figure of a sweep: losses with their law, comparisons, scores, shares of variance."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pancyte.pl.colours import GREY, PALETTE
from pancyte.pl.sheet import figure_of, panels, save_as
from pancyte.scaling.tables import label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pancyte.scaling.summary import Summary

DARK = "#6b7480"
REACH = 30.0
"""Laws are drawn dashed up to so many times more cells than were tried."""


def draw(summary: Summary, *, save: str | Path | None = None) -> Figure:
    """Draw losses against cells and against parameters, comparisons, scores and variance.

    Parameters
    ----------
    summary
        What the sweep found.
    save
        File to write as well.
    """
    scores, shares = summary.scores, summary.shares()
    compare = bool(summary.scale.compare)
    count = 1 + len(summary.datasets) + compare + len(scores) + bool(shares)
    axes = panels(count, width=4.6, height=3.7)
    places = iter(axes)
    for dataset in summary.datasets:
        _by_cells(next(places), summary, dataset)
    _by_parameters(next(places), summary, summary.datasets[0])
    if compare:
        _comparisons(next(places), summary, summary.datasets[0])
    for score in scores:
        _scores(next(places), summary, score)
    if shares:
        _variance(next(places), shares)
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    save_as(axes[0], save)
    return figure_of(axes[0])


def _colours(summary: Summary) -> dict[str, str]:
    sizes = summary.grid.groupby("size")["parameters"].first().sort_values()
    return dict(zip(map(str, sizes.index), PALETTE, strict=False))


def _by_cells(ax: Axes, summary: Summary, dataset: str) -> None:
    law, grid = summary.laws.get(dataset), summary.grid
    for size, colour in _colours(summary).items():
        rows = grid[grid["size"] == size]
        ax.plot(rows["cells"], rows[f"loss:{dataset}"], "o", color=colour, markersize=5, label=size)
        if law is not None:
            parameters = float(rows["parameters"].iloc[0])
            for stop, style in ((1.0, "-"), (REACH, ":")):
                start = law.smallest[1] if stop == 1 else law.largest[1]
                cells = np.geomspace(start, law.largest[1] * stop, 50)
                ax.plot(cells, law(parameters, cells), style, color=colour, linewidth=1.2)
    _rivals(ax, grid, dataset)
    ax.set(xscale="log", xlabel="training cells", ylabel="held-out loss", title=dataset)
    ax.legend(frameon=False, fontsize=7, title="parameters", title_fontsize=7)


def _rivals(ax: Axes, grid: pd.DataFrame, dataset: str) -> None:
    styles = {
        f"trivial:{dataset}": ("gene's mean", "--"),
        f"rival:{dataset}:by_ridge": ("ridge", "-."),
    }
    for name, (told, style) in styles.items():
        if name in grid:
            mean = grid.groupby("cells")[name].mean()
            ax.plot(mean.index, mean, style, color=DARK, linewidth=1.2, label=told)


def _by_parameters(ax: Axes, summary: Summary, dataset: str) -> None:
    law, grid = summary.laws.get(dataset), summary.grid
    for cells, colour in zip(sorted(set(grid["cells"])), PALETTE[6:], strict=False):
        rows = grid[grid["cells"] == cells]
        ax.plot(
            rows["parameters"], rows[f"loss:{dataset}"], "o", color=colour, markersize=5,
            label=f"{cells:,}",
        )  # fmt: skip
        if law is not None:
            parameters = np.geomspace(law.smallest[0], law.largest[0], 50)
            ax.plot(parameters, law(parameters, cells), color=colour, linewidth=1.2)
    ax.set(xscale="log", xlabel="parameters without tables", ylabel="held-out loss", title=dataset)
    ax.margins(y=0.1)
    ax.legend(fontsize=7, title="training cells", title_fontsize=7, framealpha=0.8)


def _comparisons(ax: Axes, summary: Summary, dataset: str) -> None:
    column = f"loss:{dataset}"
    for number, part in enumerate(summary.scale.compare):
        pair = summary.compared(part)
        other = f"{part.tokens:,} tokens" if part.tokens else f"{part.sources} dataset(s)"
        for size in part.sizes:
            mean = pair[pair["size"] == size].groupby("cells")[[column, f"{column}:grid"]].mean()
            ax.plot(
                mean.index, mean[column], "s--", color=PALETTE[number], label=f"{size}, {other}"
            )
            if number == 0:
                ax.plot(mean.index, mean[f"{column}:grid"], "o-", color=GREY, label=f"{size}, grid")
    _rivals(ax, summary.grid, dataset)
    ax.set(ylabel="held-out loss")
    ax.set_title("one dataset or all; same tokens", fontsize=10)
    _cells(ax, summary)
    ax.legend(frameon=False, fontsize=7)


def _scores(ax: Axes, summary: Summary, score: str) -> None:
    controls = summary.controls
    for size, colour in _colours(summary).items():
        rows = summary.grid[summary.grid["size"] == size]
        mean = rows.groupby("cells")[score].mean()
        ax.plot(mean.index, mean, "o-", color=colour, markersize=4)
        if len(controls) and score in controls:
            random = controls[(controls["kind"] == "random") & (controls.get("size") == size)]
            if len(random):
                ax.axhline(random[score].mean(), color=colour, linestyle=":", linewidth=1)
    if len(controls) and score in controls:
        for value in controls.loc[controls["kind"] == "pca", score]:
            ax.axhline(value, color="black", linewidth=1.5, label="PCA")
    ax.plot([], [], ":", color=DARK, label="random weights")
    dataset, task, _, metric = score.split("/")
    ax.set(ylabel=f"{metric} (zero-shot)")
    ax.set_title(f"{dataset} · {task}", fontsize=10)
    _cells(ax, summary)
    ax.legend(frameon=False, fontsize=7, ncols=2, loc="upper center", bbox_to_anchor=(0.5, 0.93))


def _cells(ax: Axes, summary: Summary) -> None:
    """Mark the numbers of cells that were tried."""
    tried = sorted(set(summary.grid["cells"]))
    ax.set_xscale("log")
    ax.set_xticks(tried, [f"{cells:,}" for cells in tried])
    ax.minorticks_off()
    ax.margins(y=0.1)
    ax.set_xlabel("training cells")


def _variance(ax: Axes, shares: dict[str, pd.DataFrame]) -> None:
    names = [label(name).replace(", ", "\n") for name in shares]
    left = np.zeros(len(shares))
    factors = list(next(iter(shares.values())).index)
    for factor, colour in zip(factors, PALETTE, strict=False):
        width = np.array([table.loc[factor, "share"] for table in shares.values()])
        shown = GREY if factor == "interactions" else colour
        ax.barh(range(len(shares)), width, left=left, color=shown, label=factor)
        left += width
    ax.set_yticks(range(len(shares)), names, fontsize=6)
    ax.invert_yaxis()
    ax.set(xlabel="share of variance", xlim=(0, 1))
    ax.legend(frameon=False, fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
