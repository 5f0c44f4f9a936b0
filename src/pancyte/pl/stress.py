"""Figures of what accidents do to answers."""

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


def severities(results: pd.DataFrame | Results) -> pd.DataFrame:
    """Take the scores of the task ``stress`` apart by kind of accident and severity.

    Parameters
    ----------
    results
        What `pancyte.benchmark` returned, or its tidy table.

    Returns
    -------
    One row per dataset, way to answer, stress, severity and metric, with the mean over folds and
    seeds as ``value``, and as ``lost`` what is missing to the same without the accident.

    Raises
    ------
    InputError
        If the task was not asked.
    """
    from pancyte.tasks.stress import NONE, Stressed, told

    rows = of_task(results, Stressed.name)
    parts = [told(fold) for fold in rows["split"]]
    rows = rows.assign(stress=[p[1] for p in parts], severity=[p[2] for p in parts])
    keys = ["dataset", "way", "metric"]
    means = rows.groupby([*keys, "stress", "severity"], sort=False)["value"].mean().reset_index()
    whole = means[means["stress"] == NONE].set_index(keys)["value"].rename("whole")
    means = means.join(whole, on=keys)
    return means.assign(lost=means["whole"] - means["value"]).drop(columns="whole")


def stress(
    results: pd.DataFrame | Results, *, metric: str = "macro_f1", save: str | Path | None = None
) -> Figure:
    """Draw how far each method's score falls as accidents get worse, a panel for each kind.

    Parameters
    ----------
    results
        What `pancyte.benchmark` returned for the task ``stress``, or its tidy table.
    metric
        Which score; the mean over datasets is drawn.
    save
        File to write as well.

    Raises
    ------
    InputError
        If there is nothing to draw.
    """
    from pancyte.tasks.stress import NONE

    table = severities(results)
    table = table[table["metric"] == metric]
    kinds = [kind for kind in table["stress"].unique() if kind != NONE]
    if not kinds:
        raise InputError(f"No result of a stress has the metric {metric!r}.")
    means = table.groupby(["way", "stress", "severity"], sort=False)["value"].mean()
    axes = panels(len(kinds), width=3.4, height=2.9)
    for ax, kind in zip(axes, kinds, strict=True):
        for number, way in enumerate(table["way"].unique()):
            scores = means[way][[NONE, kind]]
            curve(ax, number, scores.index.get_level_values("severity"), scores.to_numpy(), way)
        ax.set_title(kind.replace("_", " "), fontsize=9)
        ax.set_xlabel("severity")
    axes[0].set_ylabel(metric)
    figure = legend_below(axes[0])
    save_as(axes[0], save)
    return figure
