"""Each part of a report as the numbers, words and places its template writes out."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from pancyte.metrics.classification import ECE_BINS, ece
from pancyte.pl.tables import learning_curves, lower_is_better, summarise
from pancyte.report.charts import Axis, ceiling, heat_map, line_chart, thinned
from pancyte.report.columns import pack
from pancyte.report.parts import Calibration, Comparison, Confusion, Picture, Scatter, Training

INTERVAL_WIDTH = 150
SIZES = {"wide": (720, 290), "narrow": (326, 240)}


def scatter_view(scatter: Scatter) -> dict[str, Any]:
    """Give the data of the interactive figure, and its table: cells per category."""
    data = pack(scatter)
    tables = []
    for colouring, described in zip(scatter.colourings, data["colourings"], strict=True):
        table: dict[str, Any] = {"name": colouring.name, "missing": described["missing"]}
        if colouring.kind == "categorical":
            table["rows"] = list(zip(described["categories"], described["counts"], strict=True))
        else:
            values = np.asarray(colouring.values, dtype=float)
            known = values[np.isfinite(values)]
            table["quantiles"] = np.quantile(known, [0, 0.25, 0.5, 0.75, 1]) if len(known) else []
        tables.append(table)
    return {"part": scatter, "data": data, "tables": tables}


def confusion_view(confusion: Confusion) -> dict[str, Any]:
    """Lay out the heat map, and per label how many of its cells were found and how many right."""
    counts = np.asarray(confusion.counts)
    rows, columns = list(confusion.labels_true), list(confusion.labels_pred)
    found = [int(counts[n, columns.index(name)]) if name in columns else 0
             for n, name in enumerate(rows)]  # fmt: skip
    called = [int(counts[:, columns.index(name)].sum()) if name in columns else 0 for name in rows]
    sizes = counts.sum(axis=1)
    return {
        "part": confusion,
        "map": heat_map(rows, columns, counts),
        "rows": [
            {
                "name": name,
                "counts": counts[n].tolist(),
                "size": int(sizes[n]),
                "recall": found[n] / sizes[n] if sizes[n] else None,
                "precision": found[n] / called[n] if called[n] else None,
            }
            for n, name in enumerate(rows)
        ],
        "right": sum(found),
        "total": int(sizes.sum()),
    }


def calibration_view(calibration: Calibration) -> dict[str, Any]:
    """Bin the stated probabilities, and compare each bin with the share that was right.

    Bins and error are those of `pancyte.metrics.classification.ece`; intervals of the shares
    are Wilson's, at 95 %.
    """
    stated = np.asarray(calibration.probability, dtype=float)
    right = np.asarray(calibration.correct, dtype=bool)
    bins = np.clip(np.ceil(stated * ECE_BINS).astype(int) - 1, 0, ECE_BINS - 1)
    x, y = Axis(0, 1, 48, 288), Axis(0, 1, 250, 10)
    rows = []
    for number in np.unique(bins):
        inside = bins == number
        low, high = _wilson(int(right[inside].sum()), int(inside.sum()))
        row: dict[str, Any] = {
            "range": (number / ECE_BINS, (number + 1) / ECE_BINS),
            "cells": int(inside.sum()),
            "stated": float(stated[inside].mean()),
            "right": float(right[inside].mean()),
            "low": low,
            "high": high,
        }
        row["place"] = (x.at(row["stated"]), y.at(row["right"]), y.at(low), y.at(high))
        row["radius"] = 3 + 5 * np.sqrt(row["cells"] / len(stated))
        rows.append(row)
    error = ece(right, np.ones_like(right), stated[:, None])
    return {"part": calibration, "rows": rows, "x": x, "y": y, "bins": ECE_BINS, "error": error}


def picture_view(picture: Picture) -> dict[str, str]:
    """Put a picture into the page itself."""
    inside = b64encode(picture.png).decode("ascii")
    source = f"data:image/png;base64,{inside}"
    return {"name": picture.name, "source": source, "note": picture.note}


def training_view(training: Training) -> dict[str, Any]:
    """Lay out the learning curves for wide and for narrow pages, and list them."""
    curves = learning_curves(training.log)
    styles = {"training": "training", "held out": "held-out", "trivial predictor": "trivial"}
    ends = [min(curve.index.min() for curve in curves.values()),
            max(curve.index.max() for curve in curves.values())]  # fmt: skip
    for name, loss in training.trivial.items():
        curves[name] = pd.Series([loss, loss], index=ends)
        styles[name] = "trivial"
    drawn = {name: thinned(curve, 240, log_x=training.log_x) for name, curve in curves.items()}
    listed = {name: thinned(curve, 24, log_x=training.log_x) for name, curve in curves.items()}
    top = ceiling(drawn)[1]
    above = [curve.max() for name, curve in drawn.items() if curve.max() > top]
    return {
        "part": training,
        "charts": {
            name: line_chart(drawn, styles, size=size, log_x=training.log_x)
            for name, size in SIZES.items()
        },
        "above": max(above) if above else None,
        "listed": {name: list(curve.items()) for name, curve in listed.items()},
        "last": {name: curve.iloc[-1] for name, curve in curves.items()},
    }


def comparison_view(comparison: Comparison) -> dict[str, Any]:
    """Lay out one card per metric, grouped by dataset and task; list failed runs."""
    results = comparison.results
    table, folds = summarise(results), summarise(results, folds=True)
    groups = []
    for (dataset, task), rows in table.groupby(["dataset", "task"], sort=False):
        here = folds[(folds["dataset"] == dataset) & (folds["task"] == task)]
        cards = [
            _card(
                str(metric),
                part,
                here[here["metric"] == metric],
                lower=lower_is_better(str(metric), comparison.bounds),
            )
            for metric, part in rows.dropna(subset=["value"]).groupby("metric", sort=False)
        ]
        splits = [str(name) for name in here["split"].unique() if name]
        groups.append({"dataset": dataset, "task": task, "folds": splits, "cards": cards})
    return {
        "groups": groups,
        "failed": table[table["failed"] > 0].to_dict("records"),
        "table": folds.dropna(subset=["value"]).to_dict("records"),
        "seen": bool(table["seen"].any()),
    }


def _card(metric: str, rows: pd.DataFrame, folds: pd.DataFrame, *, lower: bool) -> dict[str, Any]:
    rows = rows.sort_values("value", ascending=lower, kind="stable")
    near = _near(rows)
    single = folds.loc[folds["name"].isin(rows.loc[near, "name"]), "value"]
    low = float(min(rows.loc[near, "low"].min(), single.min()))
    high = float(max(rows.loc[near, "high"].max(), single.max()))
    room = 0.06 * (high - low) or 0.05
    axis = Axis(low - room, high + room, 8, INTERVAL_WIDTH - 8)
    baselines = rows.loc[rows["baseline"], "value"]
    shown = []
    for row, inside in zip(rows.to_dict("records"), near, strict=True):
        own = folds.loc[folds["name"] == row["name"], "value"]
        places = {
            "beyond": "" if inside else "left" if row["value"] < low else "right",
            "places": [axis.at(row[name]) for name in ("low", "value", "high")],
            "folds": [axis.at(value) for value in own if len(own) > 1 and axis.holds(value)],
        }
        shown.append(row | places)
    return {
        "metric": title_of(metric),
        "lower": lower,
        "axis": axis,
        "line": axis.at(float(baselines.iloc[0])) if len(baselines) else None,
        "rows": shown,
    }


def _near(rows: pd.DataFrame) -> pd.Series:
    """Say which rows, sorted best first, fit an axis that shows the models well."""
    away = (rows["value"] - rows["value"].iloc[0]).abs()
    needed = max(away[~rows["baseline"]].to_numpy().max(initial=0), away.iloc[(len(rows) - 1) // 2])
    return away <= max(1.5 * needed, 0.02)


def title_of(metric: str) -> str:
    """Write a metric's name as in prose: ``macro_f1`` is macro F1."""
    words = metric.split("_")
    return " ".join(
        {"knn": "kNN"}.get(word, word.upper() if len(word) <= 3 else word) for word in words
    )


def _wilson(right: int, cells: int, z: float = 1.96) -> Sequence[float]:
    share = right / cells
    middle = (share + z**2 / (2 * cells)) / (1 + z**2 / cells)
    reach = z / (1 + z**2 / cells) * np.sqrt(share * (1 - share) / cells + (z / cells) ** 2 / 4)
    return max(0.0, middle - reach), min(1.0, middle + reach)
