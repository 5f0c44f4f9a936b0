"""What a sweep found, as tables: losses, laws, comparisons, scores, shares of variance."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pancyte.errors import InputError
from pancyte.scaling.fit import Law, fit_law
from pancyte.scaling.plan import Compare, Scale
from pancyte.scaling.points import Point, compared, grid, varied
from pancyte.scaling.variance import decompose

HEADLINES = ("total", "knn_purity", "macro_f1")
"""Of each task the first of these that it has is shown."""
PROBE = "knn"


@dataclass(frozen=True)
class Summary:
    """What a sweep found.

    Attributes
    ----------
    scale
        The sweep.
    runs
        One row for each run that was trained: its point, its cost, ``loss:<dataset>`` and the same
        of simple predictors (``trivial:``, ``rival:``), and every zero-shot score.
    controls
        One row for each control: random weights of a size and seed, and PCA.
    grid
        The rows of `runs` that make the grid.
    laws
        For each held-out dataset the fitted law.
    unfitted
        Why there is no law, for datasets without one.
    """

    scale: Scale
    runs: pd.DataFrame
    controls: pd.DataFrame
    grid: pd.DataFrame
    laws: dict[str, Law]
    unfitted: dict[str, str]

    @property
    def datasets(self) -> list[str]:
        """Names of the held-out datasets."""
        names = map(str, self.runs)
        return [name.removeprefix("loss:") for name in names if name.startswith("loss:")]

    @property
    def scores(self) -> list[str]:
        """The zero-shot scores that are shown: one of each task and dataset."""
        found: dict[str, list[str]] = {}
        for name in map(str, self.runs.columns):
            parts = name.split("/")
            if len(parts) == 4 and parts[2] in (PROBE, "zero-shot") and parts[3] in HEADLINES:
                found.setdefault("/".join(parts[:2]), []).append(name)
        order = {metric: place for place, metric in enumerate(HEADLINES)}
        return [min(names, key=lambda n: order[n.split("/")[3]]) for names in found.values()]

    def compared(self, part: Compare) -> pd.DataFrame:
        """Set a comparison beside the grid: size, cells, seed, loss here and in the grid."""
        other = _rows(self.runs, compared(self.scale, part))
        keys = ["size", "cells", "seed"]
        return other.merge(self.grid, on=keys, suffixes=("", ":grid"))

    def named(self, part: Compare) -> str:
        """Name the sources that the cells of a comparison come from."""
        wanted = self.scale.base.train[: part.sources or None]
        return ", ".join(Path(source.source).stem for source in wanted)

    def varied(self) -> pd.DataFrame:
        """Return the sensitivity runs."""
        return _rows(self.runs, varied(self.scale))

    def shares(self) -> dict[str, pd.DataFrame]:
        """Decompose the variance of each loss and score over the sensitivity runs."""
        if self.scale.sensitivity is None:
            return {}
        runs, factors = self.varied(), list(self.scale.sensitivity.vary)
        found: dict[str, pd.DataFrame] = {}
        if len(runs) < len(varied(self.scale)):
            return found
        for name in [*(f"loss:{dataset}" for dataset in self.datasets), *self.scores]:
            try:
                found[name] = decompose(runs, factors, name)
            except InputError:
                # a score that could not be computed somewhere
                continue
        return found

    def predictions(self) -> pd.DataFrame:
        """Predict the loss at each wanted size and number of cells, and what it would cost."""
        wanted, rows = self.scale.predict, []
        per_cell = float(self.grid["tokens_per_cell"].mean()) * self.scale.epochs
        per_parameter = float(self.grid["flops_per_parameter"].max())
        largest = int(self.grid["parameters"].max())
        for dataset, law in self.laws.items():
            for parameters in wanted.parameters or [largest]:
                for cells in wanted.cells:
                    loss, low, high = law.predict(parameters, cells)
                    flops = per_parameter * parameters * per_cell * cells
                    rows.append(
                        {
                            "dataset": dataset,
                            "parameters": parameters,
                            "cells": cells,
                            "loss": loss,
                            "low": low,
                            "high": high,
                            "beyond_parameters": parameters / law.largest[0],
                            "beyond_cells": cells / law.largest[1],
                            "flops": flops,
                            "hours": flops / (wanted.peak * wanted.mfu) / 3600,
                        }
                    )
        return pd.DataFrame(rows)

    def agreement(self) -> pd.DataFrame:
        """Say whether a lower loss goes with a better score: Spearman's rank correlation."""
        rows = []
        for dataset in self.datasets:
            for score in self.scores:
                pair = self.grid[[f"loss:{dataset}", score]].dropna()
                rank = pair.rank().corr().iloc[0, 1] if len(pair) > 3 else np.nan
                rows.append({"dataset": dataset, "score": score, "rho": rank, "runs": len(pair)})
        return pd.DataFrame(rows)


def summarise(scale: Scale, found: Iterable[dict[str, Any]]) -> Summary:
    """Turn the records of a sweep into tables, and fit the laws.

    Raises
    ------
    InputError
        If no run has been trained.
    """
    done = [record for record in found if not record["error"]]
    trained = [record for record in done if record["kind"] == "trained"]
    if not trained:
        raise InputError("No run of this sweep has been trained.", fix="See the errors above.")
    runs = pd.DataFrame([_row(record, scale.term) for record in trained])
    controls = pd.DataFrame([_row(r, scale.term) for r in done if r["kind"] != "trained"])
    on_grid = _rows(runs, grid(scale))
    laws, unfitted = {}, {}
    for name in [str(name) for name in runs if str(name).startswith("loss:")]:
        dataset = name.removeprefix("loss:")
        try:
            laws[dataset] = fit_law(on_grid["parameters"], on_grid["cells"], on_grid[name])
        except InputError as error:
            unfitted[dataset] = error.what
    return Summary(scale, runs, controls, on_grid, laws, unfitted)


def _row(record: dict[str, Any], term: str) -> dict[str, Any]:
    """Lay a record out as one row."""
    row = {key: value for key, value in record.items() if not isinstance(value, dict | list)}
    if "point" in record:
        point = {**record["point"]}
        row |= {"budget": point.pop("tokens"), **dict(point.pop("changes")), **point}
    for dataset, terms in record.get("losses", {}).items():
        for kind, prefix in (("loss", "held_out_"), ("trivial", "trivial_"), ("rival", "rival_")):
            for name, value in _added(terms, prefix, term).items():
                row[f"{kind}:{dataset}{name}"] = value
    return {**row, **record.get("scores", {})}


def _added(terms: dict[str, float], prefix: str, term: str) -> dict[str, float]:
    """Add up a loss's terms, or take the one that is wanted; rivals keep their own names."""
    found: dict[str, float] = {}
    every = [name.removeprefix("held_out_") for name in terms if name.startswith("held_out_")]
    for part in [term] if term else every:
        start = f"{prefix}{part}"
        for name, value in terms.items():
            if name == start or (prefix == "rival_" and name.startswith(f"{start}_")):
                rival = name.removeprefix(start).replace("_", ":", 1)
                found[rival] = found.get(rival, 0.0) + value
    return found


def _rows(runs: pd.DataFrame, wanted: list[Point]) -> pd.DataFrame:
    names = {point.name for point in wanted}
    return runs[runs["name"].isin(names)].reset_index(drop=True)
