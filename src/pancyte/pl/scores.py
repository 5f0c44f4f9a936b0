"""Figures of scores: confusions, training curves, benchmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pancyte.errors import InputError
from pancyte.pl.cells import values_of
from pancyte.pl.colours import GREY, PALETTE
from pancyte.pl.sheet import figure_of, panels, save_as
from pancyte.pl.tables import (
    SETTING,
    confusion_table,
    learning_curves,
    lower_is_better,
    summarise,
)

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pancyte.benchmark.results import Results


def confusion(
    adata: AnnData,
    truth_key: str,
    *,
    label_key: str = "pancyte_label",
    ax: Axes | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Draw which true cell types were taken for which, in per cent of each true type.

    Parameters
    ----------
    adata
        Annotated cells.
    truth_key, label_key
        Columns of ``.obs`` with the true and the predicted label.
    ax, save
        Where to draw, and a file to write as well.

    Raises
    ------
    InputError
        If a column is not in ``.obs``.
    """
    table = confusion_table(values_of(adata, truth_key), values_of(adata, label_key))
    share = table.to_numpy() / table.to_numpy().sum(axis=1, keepdims=True)
    side = 2.2 + 0.36 * max(table.shape)
    ax = ax or panels(1, width=side, height=side)[0]
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    ax.set_xticks(range(share.shape[1]), list(table.columns), rotation=45, ha="right")
    ax.set_yticks(range(share.shape[0]), list(table.index))
    ax.set(xlabel=f"predicted ({label_key})", ylabel=f"true ({truth_key})", title="Row per cent")
    ax.spines[:].set_visible(False)
    if max(share.shape) <= 25:
        for row, column in zip(*np.nonzero(share >= 0.005), strict=True):
            part = share[row, column]
            ax.text(
                column, row, f"{100 * part:.0f}", ha="center", va="center", fontsize=7,
                color="white" if part > 0.55 else "black",
            )  # fmt: skip
    save_as(ax, save)
    return ax


def training(
    log: pd.DataFrame | str | Path,
    *,
    trivial: Mapping[str, float] | None = None,
    log_x: bool = False,
    ax: Axes | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Draw how the loss fell, beside a predictor that learns nothing.

    Parameters
    ----------
    log
        The folder of a training run, or its log as a table.
    trivial
        Losses of further trivial predictors, by name.
    log_x
        Whether steps are drawn on a logarithmic axis.
    ax, save
        Where to draw, and a file to write as well.
    """
    if not isinstance(log, pd.DataFrame):
        from pancyte.training.log import read_log

        log = read_log(log)
    ax = ax or panels(1, width=6, height=3.6)[0]
    styles: dict[str, dict[str, Any]] = {
        "training": {"color": GREY, "linewidth": 1},
        "held out": {"color": PALETTE[0], "linewidth": 2, "marker": "o", "markersize": 4},
        "trivial predictor": {"color": PALETTE[4], "linewidth": 1.5, "linestyle": "--"},
    }
    for name, curve in learning_curves(log).items():
        ax.plot(curve.index, curve, label=name, **styles[name])
    for number, (name, loss) in enumerate((trivial or {}).items()):
        ax.axhline(loss, label=name, color=PALETTE[4], linestyle=(0, (1 + number, 2)))
    ax.set(xlabel="step", ylabel="loss", xscale="log" if log_x else "linear")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False)
    save_as(ax, save)
    return ax


def benchmark(
    results: pd.DataFrame | Results,
    *,
    metric: str | Sequence[str] | None = None,
    save: str | Path | None = None,
) -> Figure:
    """Draw every method's score with its interval, baselines marked, best on top.

    Parameters
    ----------
    results
        What `pancyte.benchmark` returned, or its tidy table.
    metric
        Which metrics to draw; by default all.
    save
        File to write as well.

    Raises
    ------
    InputError
        If there is nothing to draw.
    """
    rows = results if isinstance(results, pd.DataFrame) else results.table
    table = summarise(rows).dropna(subset=["value"])
    if metric is not None:
        table = table[table["metric"].isin([metric] if isinstance(metric, str) else metric)]
    settings = list(table.groupby(SETTING, sort=False))
    if not settings:
        known = sorted(set(rows["metric"].dropna()))
        raise InputError(f"No result has the metric {metric!r}.", fix=f"Metrics here: {known}.")
    tallest = max(len(part) for _, part in settings)
    axes = panels(len(settings), width=4.6, height=1.1 + 0.3 * tallest)
    for ax, (setting, part) in zip(axes, settings, strict=True):
        dataset, task, scored = map(str, setting)
        _intervals(ax, part, lower=lower_is_better(scored, {}))
        ax.set_title(f"{dataset} · {task}", fontsize=9)
        ax.set_xlabel(scored)
    kinds = dict(zip(*reversed(axes[0].get_legend_handles_labels()), strict=True))
    figure = figure_of(axes[0])
    figure.legend(kinds.values(), kinds.keys(), loc="outside lower center", ncols=2, frameon=False)
    save_as(axes[0], save)
    return figure


def _intervals(ax: Axes, rows: pd.DataFrame, *, lower: bool) -> None:
    rows = rows.sort_values("value", ascending=not lower, kind="stable").reset_index(drop=True)
    styles: dict[bool, dict[str, Any]] = {
        False: {"color": PALETTE[0], "markerfacecolor": PALETTE[0], "label": "model"},
        True: {"color": "#6b7480", "markerfacecolor": "white", "label": "baseline"},
    }
    for kind, style in styles.items():
        part = rows[rows["baseline"] == kind]
        reach = np.abs(part[["low", "high"]].T.to_numpy() - part["value"].to_numpy())
        ax.errorbar(part["value"], part.index, xerr=reach, fmt="o", capsize=2, **style)
    ax.set_yticks(range(len(rows)), list(rows["name"]))
    ax.set_ylim(-0.6, len(rows) - 0.4)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.grid(axis="x", linewidth=0.5, alpha=0.5)
    ax.set_axisbelow(True)
