"""What a sweep shows, in sentences that follow from its numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pancyte.scaling.plan import Compare

if TYPE_CHECKING:
    from pancyte.scaling.summary import Summary

RIVALS = {"rival:{}:by_ridge": "ridge regression", "trivial:{}": "the gene's mean"}
"""The simple predictors of held-out losses, the better one first."""


def verdicts(summary: Summary) -> list[str]:
    """Say what more cells, parameters and datasets brought, and what a simple method does."""
    found = [_more(summary, dataset) for dataset in summary.datasets]
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
        f"Loss on {dataset}: {mean.columns[-1]:,} training cells instead of {mean.columns[0]:,} "
        f"change it by {np.nanmean(table[:, -1] - table[:, 0]):+.3f} (mean over sizes), "
        f"{mean.index[-1]:,} parameters instead of {mean.index[0]:,} by "
        f"{np.nanmean(table[-1] - table[0]):+.3f} (mean over cells)."
    )
    best = summary.grid.iloc[int(np.nanargmin(summary.grid[column].to_numpy(float)))]
    for name, label in RIVALS.items():
        rival = best.get(name.format(dataset), np.nan)
        if not np.isnan(rival):
            won = "beats" if best[column] < rival else "loses to"
            return (
                f"{told} The lowest, {best[column]:.3f} ({best['size']}, {best['cells']:,} cells), "
                f"{won} {label} on the same cells, {rival:.3f}."
            )
    return told


def _compared(summary: Summary, part: Compare) -> list[str]:
    pair = summary.compared(part)
    found: list[str] = []
    for dataset in () if pair.empty else summary.datasets:
        column = f"loss:{dataset}"
        if part.tokens:
            found += _same_tokens(summary.grid, pair, dataset, part.tokens)
            continue
        gap = pair[column] - pair[f"{column}:grid"]
        found.append(
            f"At the same number of cells, those of {summary.named(part)} alone give a loss on "
            f"{dataset} that differs from that of all {len(summary.scale.base.train)} datasets by "
            f"{gap.mean():+.3f} ({gap.min():+.3f} to {gap.max():+.3f} in {len(gap)} pairs)."
        )
    return found


def _same_tokens(grid: pd.DataFrame, pair: pd.DataFrame, dataset: str, tokens: int) -> list[str]:
    """Say how much of what more cells bring is left when all train equally long."""
    column = f"loss:{dataset}"
    fewest, most = pair["cells"].min(), grid["cells"].max()
    few = pair[pair["cells"] == fewest]
    many = grid[(grid["cells"] == most) & grid["size"].isin(few["size"])]
    if many.empty or most == fewest:
        return []
    once, longer = few[f"{column}:grid"].mean(), few[column].mean()
    return [
        f"{fewest:,} cells trained on {tokens:,} tokens give a loss on {dataset} of {longer:.3f}, "
        f"seen as often as all others {once:.3f}; {most:,} cells, seen as often, "
        f"on {many['tokens'].mean():,.0f} tokens, give {many[column].mean():.3f}. What is left "
        "between the first and the last is what more cells bring, and not longer training."
    ]


def _judged(summary: Summary, score: str) -> list[str]:
    dataset, task, _, metric = score.split("/")
    grid, controls = summary.grid, summary.controls
    if score not in controls or grid[score].isna().all():
        return []
    random = controls[controls["kind"] == "random"].groupby("size")[score].mean()
    better = grid[score] > grid["size"].map(random)
    pca = controls.loc[controls["kind"] == "pca", score].mean()
    return [
        f"Zero-shot {metric} on {dataset} ({task}): trained {_range(grid[score])}, random weights "
        f"{_range(random)}, PCA {pca:.3f}. Of {len(grid)} runs {better.sum()} are better than "
        f"random weights of their size, {(grid[score] > pca).sum()} better than PCA."
    ]


def _range(values: pd.Series) -> str:
    return f"{values.min():.3f} to {values.max():.3f} (mean {values.mean():.3f})"
