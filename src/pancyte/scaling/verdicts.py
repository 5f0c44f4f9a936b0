"""What a sweep shows, in sentences that follow from its numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pancyte.scaling.plan import Compare

if TYPE_CHECKING:
    from pancyte.scaling.summary import Summary


def verdicts(summary: Summary) -> list[str]:
    """Say what more cells, parameters and datasets brought, and whether a simple method does as well."""
    found = []
    for dataset in summary.datasets:
        found.append(_more(summary, dataset))
    for part in summary.scale.compare:
        found += _compared(summary, part)
    for score in summary.scores:
        found += _judged(summary, score)
    return found


def _more(summary: Summary, dataset: str) -> str:
    column = f"loss:{dataset}"
    mean = summary.grid.groupby(["parameters", "cells"])[column].mean().unstack()
    table = mean.to_numpy()
    told = (
        f"Loss on {dataset}: from {mean.columns[0]:,} to {mean.columns[-1]:,} cells it changes by "
        f"{np.nanmean(table[:, -1] - table[:, 0]):+.3f} (mean over sizes), from {mean.index[0]:,} to "
        f"{mean.index[-1]:,} parameters by {np.nanmean(table[-1] - table[0]):+.3f} (mean over cells)."
    )
    best = summary.grid.loc[summary.grid[column].idxmin()]
    for name, label in ((f"rival:{dataset}:by_ridge", "ridge regression"), (f"trivial:{dataset}", "the gene's mean")):
        if name in best and not np.isnan(best[name]):
            won = "beats" if best[column] < best[name] else "loses to"
            return (
                f"{told} The lowest, {best[column]:.3f} ({best['size']}, {best['cells']:,} cells), {won} "
                f"{label} on the same cells, {best[name]:.3f}."
            )
    return told


def _compared(summary: Summary, part: Compare) -> list[str]:
    pair = summary.compared(part)
    if pair.empty:
        return []
    found = []
    for dataset in summary.datasets:
        column = f"loss:{dataset}"
        if part.tokens:
            found += _same_tokens(pair, column, dataset, part.tokens)
        else:
            gap = pair[column] - pair[f"{column}:grid"]
            names = ", ".join(Path(s.source).stem for s in summary.scale.base.train[: part.sources])
            found.append(
                f"At the same number of cells, those of {names} alone give a loss on {dataset} that is "
                f"{gap.mean():+.3f} ({gap.min():+.3f} to {gap.max():+.3f} in {len(gap)} pairs) against "
                f"that of all {len(summary.scale.base.train)} datasets."
            )
    return found


def _same_tokens(pair: pd.DataFrame, column: str, dataset: str, tokens: int) -> list[str]:
    """Say how much of what more cells bring is left when all train equally long."""
    mean = pair.groupby("cells")[[column, f"{column}:grid"]].mean()
    if len(mean) < 2:
        return []
    falls = mean.iloc[0] - mean.iloc[-1]
    fewest, most = mean.index[0], mean.index[-1]
    return [
        f"Each trained on {tokens:,} tokens, {most:,} cells are better on {dataset} than {fewest:,} by "
        f"{falls[column]:.3f}; each cell seen equally often, by {falls[f'{column}:grid']:.3f}. The rest is "
        "longer training and not more data."
    ]


def _judged(summary: Summary, score: str) -> list[str]:
    dataset, task, _, metric = score.split("/")
    grid, controls = summary.grid, summary.controls
    if score not in controls or grid[score].isna().all():
        return []
    random = controls[controls["kind"] == "random"].groupby("size")[score].mean()
    trained = grid.groupby("size")[score].mean()
    better = grid[score] > grid["size"].map(random)
    pca = controls.loc[controls["kind"] == "pca", score].mean()
    return [
        f"Zero-shot {metric} on {dataset} ({task}): trained models {grid[score].min():.3f} to "
        f"{grid[score].max():.3f} (mean {trained.mean():.3f}), random weights {random.min():.3f} to "
        f"{random.max():.3f} (mean {random.mean():.3f}), PCA {pca:.3f}; {better.sum()} of {len(grid)} runs "
        f"are better than random weights of their size, {(grid[score] > pca).sum()} better than PCA."
    ]
