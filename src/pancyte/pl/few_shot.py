"""Figure of what labelled cells are worth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from pancyte.errors import InputError
from pancyte.pl.curves import curve, legend_below
from pancyte.pl.sheet import panels, save_as
from pancyte.pl.tables import of_task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pancyte.benchmark.results import Results


def shots(results: pd.DataFrame | Results) -> pd.DataFrame:
    """Take the scores of the task ``few_shot`` apart by labelled cells of each type.

    Parameters
    ----------
    results
        What `pancyte.benchmark` returned, or its tidy table.

    Returns
    -------
    One row per dataset, way to answer, metric and number of cells (``shots``): the mean over
    folds and seeds as ``value``, and the standard error of the mean over both as ``error``.

    Raises
    ------
    InputError
        If the task was not asked.
    """
    from pancyte.tasks.few_shot import FewShot, shots_of

    rows = of_task(results, FewShot.name)
    rows = rows.assign(shots=[shots_of(fold) for fold in rows["split"]])
    keys = ["dataset", "way", "metric", "shots"]
    found = rows.groupby(keys, sort=False)["value"].agg(value="mean", error="sem")
    return found.reset_index()


def few_shot(
    results: pd.DataFrame | Results, *, metric: str = "macro_f1", save: str | Path | None = None
) -> Figure:
    """Draw how well cells are labelled after a few examples of each type, a panel per dataset.

    Parameters
    ----------
    results
        What `pancyte.benchmark` returned for the task ``few_shot``, or its tidy table.
    metric
        Which score.
    save
        File to write as well.

    Raises
    ------
    InputError
        If there is nothing to draw.
    """
    table = shots(results)
    table = table[table["metric"] == metric]
    if table.empty:
        raise InputError(f"No result of the task 'few_shot' has the metric {metric!r}.")
    datasets, ways = table["dataset"].unique(), table["way"].unique()
    axes = panels(len(datasets), width=4.2, height=3.4)
    for ax, dataset in zip(axes, datasets, strict=True):
        own = table[table["dataset"] == dataset].set_index("way")
        for number, way in enumerate(ways):
            points = own.loc[[way]] if way in own.index else own.iloc[:0]
            curve(ax, number, points["shots"], points["value"], way)
        ax.set_xscale("log")
        ax.set_xticks(numbers := sorted(own["shots"].unique()), [f"{n}" for n in numbers])
        ax.minorticks_off()
        ax.set_title(dataset, fontsize=9)
        ax.set_xlabel("labelled cells of each type")
    axes[0].set_ylabel(metric)
    figure = legend_below(axes[0])
    save_as(axes[0], save)
    return figure
