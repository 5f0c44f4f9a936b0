"""The tables behind the figures: confusions, learning curves, averaged benchmarks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from pancyte import registry
from pancyte.errors import InputError
from pancyte.pl.colours import as_categories

SETTING = ["dataset", "task", "metric"]
METHOD = ["method", "adaptation"]

NO_CHOICE = ("", "direct", "zero-shot")
"""Adaptations that need no mention beside a method's name."""


def confusion_table(truth: Any, predicted: Any) -> pd.DataFrame:
    """Count how often each true label (rows) was given each predicted label (columns).

    Rows run from the largest to the smallest label; columns follow them, then come labels
    that only the prediction knows.
    """
    truth, predicted = as_categories(truth), as_categories(predicted)
    table = pd.crosstab(truth, predicted)
    rows = [label for label in truth.categories if label in table.index]
    columns = [label for label in rows if label in table.columns]
    columns += [label for label in table.columns if label not in rows]
    return table.loc[rows, columns]


def learning_curves(log: pd.DataFrame) -> dict[str, pd.Series]:
    """Split a training log into losses by step: training, held out, trivial predictor.

    Raises
    ------
    InputError
        If the log has no step or no loss.
    """
    terms = {
        "training": [name for name in log.columns if name == "loss"],
        "held out": [name for name in log.columns if name.startswith("held_out_")],
        "trivial predictor": [name for name in log.columns if name.startswith("trivial_")],
    }
    if "step" not in log.columns or not any(terms.values()):
        raise InputError(
            f"The training log has the columns {list(log.columns)}.",
            fix="It needs 'step' and 'loss', as pancyte.training.log.read_log returns.",
        )
    rows = log.set_index("step")
    sums = {name: rows[columns].dropna().sum(axis=1) for name, columns in terms.items() if columns}
    return {name: curve for name, curve in sums.items() if len(curve)}


def summarise(results: pd.DataFrame, *, folds: bool = False) -> pd.DataFrame:
    """Average benchmark results over seeds and folds, one row per metric and method.

    Parameters
    ----------
    results
        The tidy table of `pancyte.benchmark`: one row per method, dataset, task, split, seed
        and metric.
    folds
        Keep the folds (``split``) apart.

    Returns
    -------
    pandas.DataFrame
        ``value`` is the mean over runs; ``low`` and ``high`` are the means of the runs'
        interval bounds or, where a run has none, the smallest and largest value; ``runs`` and
        ``failed`` count runs; ``name`` is method and adaptation in one; ``error`` is the
        message of the first failed run.
    """
    rows = results.copy()
    for name in ("adaptation", "split", "error", "metric"):
        rows[name] = rows[name].fillna("") if name in rows else ""
    for name in ("value", "low", "high", "seconds"):
        rows[name] = pd.to_numeric(rows.get(name, np.nan))
    for name in ("baseline", "seen"):
        rows[name] = rows[name].eq(True) if name in rows else False
    rows["failed"] = rows["error"] != ""
    rows["bounded"] = rows[["low", "high"]].notna().all(axis=1) | rows["failed"]
    keys = [*SETTING, *(["split"] if folds else []), *METHOD]
    groups = rows.groupby(keys, sort=False)
    table = groups.agg(
        value=("value", "mean"),
        low=("low", "mean"),
        high=("high", "mean"),
        smallest=("value", "min"),
        largest=("value", "max"),
        bounded=("bounded", "all"),
        runs=("value", "count"),
        failed=("failed", "sum"),
        baseline=("baseline", "any"),
        seen=("seen", "any"),
        seconds=("seconds", "mean"),
        error=("error", lambda messages: next(filter(None, messages), "")),
    ).reset_index()
    table["low"] = table["low"].where(table["bounded"], table["smallest"])
    table["high"] = table["high"].where(table["bounded"], table["largest"])
    table["name"] = named(table)
    return table.drop(columns=["smallest", "largest", "bounded"])


def of_task(results: Any, task: str) -> pd.DataFrame:
    """Take the scores of one task from results or their table, with each row's ``way`` named.

    Raises
    ------
    InputError
        If the task was not asked.
    """
    rows = results if isinstance(results, pd.DataFrame) else results.table
    rows = rows[(rows["task"] == task) & rows["value"].notna()]
    if rows.empty:
        raise InputError(
            f"There are no results of the task {task!r}.", fix=f"Run a suite with tasks: [{task}]."
        )
    return rows.assign(way=named(rows))


def named(table: pd.DataFrame) -> pd.Series:
    """Name each row's method, with its adaptation where there is a choice of it."""
    adapted = table["method"] + " (" + table["adaptation"] + ")"
    return table["method"].where(table["adaptation"].isin(NO_CHOICE), adapted)


def lower_is_better(metric: str, bounds: Mapping[str, tuple[float, float]]) -> bool:
    """Say whether the best value of `metric` is its smallest.

    From its (worst, best) `bounds` if given, else from the registered metric; a metric nobody
    knows is taken to be better when higher.
    """
    if metric in bounds:
        worst, best = bounds[metric]
        return best < worst
    return metric in registry.names("metrics") and registry.get("metrics", metric).sign < 0
