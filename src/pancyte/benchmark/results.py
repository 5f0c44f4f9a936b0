"""What a benchmark found: one tidy table, and a verdict for each method and metric."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from pancyte import files

SCHEMA = 1
COLUMNS = (
    "method",
    "adaptation",
    "dataset",
    "revision",
    "task",
    "split",
    "seed",
    "metric",
    "value",
    "baseline",
    "low",
    "high",
    "seen",
    "cells",
    "excluded",
    "seconds",
    "peak_memory",
    "version",
    "error",
)
VERDICT_COLUMNS = (
    "dataset",
    "task",
    "method",
    "adaptation",
    "metric",
    "headline",
    "baseline",
    "model_value",
    "baseline_value",
    "difference",
    "low",
    "high",
    "winner",
    "sentence",
)
LABEL = ["method", "adaptation", "baseline", "seen"]


@dataclass(frozen=True)
class Results:
    """Scores, verdicts and failures of a benchmark.

    Attributes
    ----------
    rows
        One record per score, with the keys in `COLUMNS`: who, on what, how well, the 95 %
        bootstrap interval over query cells where the metric allows one, whether the model had
        seen the dataset, seconds, peak memory (MiB), pancyte's version, and the error of what
        failed.
    verdicts
        One record per method under test, adaptation and metric, keys in `VERDICT_COLUMNS`.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    verdicts: list[dict[str, Any]] = field(default_factory=list)

    @property
    def table(self) -> pd.DataFrame:
        """The scores, one per row."""
        table = pd.DataFrame(self.rows, columns=list(COLUMNS))
        return table.astype(dict.fromkeys(("value", "low", "high"), float))

    @property
    def comparisons(self) -> pd.DataFrame:
        """The verdicts, one per row."""
        return pd.DataFrame(self.verdicts, columns=list(VERDICT_COLUMNS))

    @property
    def errors(self) -> list[dict[str, Any]]:
        """Rows of what failed."""
        return [row for row in self.rows if row["error"]]

    @property
    def failed(self) -> bool:
        """Whether anything failed; the command line then exits with an error."""
        return bool(self.errors)

    def sentences(self, *, headline_only: bool = True) -> list[str]:
        """Say the verdicts as lines, each with its dataset and task."""
        return [
            f"{v['dataset']}, {v['task']}: {v['sentence']}"
            for v in self.verdicts
            if v["headline"] or not headline_only
        ]

    def summary(self) -> pd.DataFrame:
        """Mean score of each method over folds and seeds, metrics side by side.

        Returns
        -------
        Index (dataset, task, method, adaptation, baseline, seen), one column per metric, in the
        order in which methods were asked; NaN where a method has no score.
        """
        table = self.table
        keys = ["dataset", "task", *LABEL]
        means = table.groupby([*keys, "metric"], sort=False)["value"].mean().unstack("metric")
        metrics = [name for name in table["metric"].unique() if name]
        return means.reindex(pd.MultiIndex.from_frame(table[keys].drop_duplicates()))[metrics]

    def to_markdown(self, path: str | Path | None = None) -> str:
        """Render a table of means with the verdicts and failures; write it if given a path."""
        lines: list[str] = []
        summary = self.summary()
        for (dataset, task), means in summary.groupby(level=["dataset", "task"], sort=False):
            lines += [f"## {dataset}: {task}", "", *_markdown_table(means), ""]
            own = [v for v in self.verdicts if (v["dataset"], v["task"]) == (dataset, task)]
            lines += [f"- {v['sentence']}" for v in own] + ([""] if own else [])
        if self.failed:
            lines += ["## Failed", ""]
            lines += [f"- {_place(row)}: {row['error']}" for row in self.errors] + [""]
        return _written("\n".join(lines), path)

    def to_json(self, path: str | Path | None = None) -> str:
        """Return rows and verdicts as JSON (missing numbers are null); write it if given a path."""
        content: dict[str, Any] = {"schema": SCHEMA, "failed": self.failed}
        content |= {"rows": _plain(self.rows), "verdicts": _plain(self.verdicts)}
        return _written(json.dumps(content, indent=1, allow_nan=False) + "\n", path)

    def to_csv(self, path: str | Path | None = None) -> str:
        """Return the scores as comma-separated text; write it if given a path."""
        return _written(self.table.to_csv(index=False, lineterminator="\n"), path)

    @classmethod
    def from_json(cls, path: str | Path) -> Results:
        """Read what `to_json` wrote."""
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        return cls(content["rows"], content["verdicts"])


def together(parts: Sequence[Results]) -> Results:
    """Join the results of several benchmarks."""
    return Results(
        [row for part in parts for row in part.rows],
        [verdict for part in parts for verdict in part.verdicts],
    )


def _markdown_table(means: pd.DataFrame) -> list[str]:
    metrics = [name for name in means.columns if means[name].notna().any()]
    header = ["method", "adaptation", "", *metrics]
    lines = [header, ["---"] * 3 + ["---:"] * len(metrics)]
    labels = means.index.to_frame(index=False).to_dict("records")
    for label, scores in zip(labels, means.to_dict("records"), strict=True):
        remark = "baseline" if label["baseline"] else "seen in pre-training" * bool(label["seen"])
        values = ["failed" if math.isnan(scores[m]) else f"{scores[m]:.3f}" for m in metrics]
        lines.append([label["method"], label["adaptation"], remark, *values])
    return [f"| {' | '.join(line)} |" for line in lines]


def _place(row: dict[str, Any]) -> str:
    parts = (row["dataset"], row["task"], row["split"], f"seed {row['seed']}", row["method"])
    return ", ".join([*parts, *filter(None, (row["adaptation"], row["metric"]))])


def _plain(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: _number(value) for key, value in record.items()} for record in records]


def _number(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _written(text: str, path: str | Path | None) -> str:
    if path is not None:
        files.write_text(path, text)
    return text
