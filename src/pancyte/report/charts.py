"""Where the parts of a chart go: axes, lines and tiles in pixels, for templates to write out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

LONGEST_LABEL = 28
CHARACTER = 6.4
"""Width of an average character of a chart's 11.5 px text."""


@dataclass(frozen=True)
class Axis:
    """Places values between two pixels.

    Parameters
    ----------
    low, high
        Values at the ends.
    start, end
        Pixels of the ends; a vertical axis starts at the bottom.
    log
        Whether equal ratios are equally far apart.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """Return the pixel of `value`."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        share = (self._scaled(value) - low) / (high - low) if high > low else 0.5
        return self.start + share * (self.end - self.start)

    def holds(self, value: float) -> bool:
        """Say whether `value` lies between the ends."""
        return self.low <= value <= self.high

    def ticks(self, most: int = 6) -> list[tuple[float, str]]:
        """Return pixel and label of round values, at most `most` of them."""
        values = self._powers() if self.log else []
        values = values if len(values) > 1 else self._steps(most)
        return [(self.at(value), f"{value:,.6g}") for value in values]

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.log else value

    def _steps(self, most: int) -> list[float]:
        rough = (self.high - self.low) / most or 1.0
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * part for part in (1, 2, 5, 10) if power * part >= rough * 0.999)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(number * step, 12) for number in range(first, last + 1)]

    def _powers(self) -> list[float]:
        first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
        return [10.0**power for power in range(first, last + 1)]


@dataclass(frozen=True)
class Line:
    """A named curve; `style` is the name of a class in the style sheet."""

    name: str
    style: str
    path: str
    dots: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True)
class LineChart:
    """Lines between two axes, inside a sheet of `width` by `height` pixels."""

    width: int
    height: int
    x: Axis
    y: Axis
    lines: Sequence[Line]


@dataclass(frozen=True)
class Tile:
    """One cell of a heat map; `ground` says how dark it is under its text."""

    x: float
    y: float
    share: float
    ground: str
    text: str
    title: str


@dataclass(frozen=True)
class HeatMap:
    """Tiles of one size with their row and column labels: (pixel, shown, full)."""

    width: float
    height: float
    left: float
    top: float
    side: int
    tiles: Sequence[Tile]
    rows: Sequence[tuple[float, str, str]]
    columns: Sequence[tuple[float, str, str]]


def line_chart(
    curves: Mapping[str, pd.Series],
    styles: Mapping[str, str],
    *,
    size: tuple[int, int],
    log_x: bool,
) -> LineChart:
    """Lay out curves by step; what starts far above the rest is cut off at the top."""
    width, height = size
    steps = np.concatenate([curve.index.to_numpy(dtype=float) for curve in curves.values()])
    low, high = ceiling(curves)
    first = max(steps.min(), 1.0) if log_x else min(steps.min(), 0.0)
    x = Axis(first, max(steps.max(), first + 1), 52, width - 14, log=log_x)
    y = Axis(low, high, height - 40, 10)
    lines = []
    for name, curve in curves.items():
        points = [(x.at(max(step, first)), y.at(loss)) for step, loss in curve.items()]
        dots = points if styles[name] == "held-out" and len(points) <= 60 else ()
        lines.append(Line(name, styles[name], _path(points), dots))
    return LineChart(width, height, x, y, lines)


def ceiling(curves: Mapping[str, pd.Series]) -> tuple[float, float]:
    """Choose the losses at the bottom and at the top of a chart, so that the end is readable."""
    top = max(
        float(np.quantile(curve, 0.9) if name == "training" else curve.max())
        for name, curve in curves.items()
    )
    bottom = min(float(curve.min()) for curve in curves.values())
    room = 0.08 * (top - bottom) or 0.1
    return bottom - room, top + 2 * room


def heat_map(rows: Sequence[str], columns: Sequence[str], counts: np.ndarray) -> HeatMap:
    """Lay out counts as shares of their row."""
    most = max(len(rows), len(columns))
    side = 36 if most <= 12 else 26 if most <= 25 else 14
    longest = max(len(_short(name)) for name in (*rows, *columns))
    left = longest * CHARACTER + 12
    top = longest * CHARACTER * 0.71 + 18
    totals = np.maximum(1, counts.sum(axis=1, keepdims=True))
    tiles = [
        Tile(
            left + column * side,
            top + row * side,
            float(share),
            "high" if share > 0.78 else "mid" if share > 0.6 else "low",
            f"{100 * share:.0f}" if share >= 0.005 and side > 14 else "",
            f"{rows[row]} → {columns[column]}: {counts[row, column]:,} of "
            f"{counts[row].sum():,} cells ({100 * share:.1f} %)",
        )
        for (row, column), share in np.ndenumerate(counts / totals)
    ]
    return HeatMap(
        width=left + len(columns) * side + top - 6,
        height=top + len(rows) * side + 4,
        left=left,
        top=top,
        side=side,
        tiles=tiles,
        rows=[(top + (n + 0.5) * side, _short(name), name) for n, name in enumerate(rows)],
        columns=[(left + (n + 0.5) * side, _short(name), name) for n, name in enumerate(columns)],
    )


def thinned(curve: pd.Series, most: int, *, log_x: bool) -> pd.Series:
    """Average a long curve over neighbouring steps, down to `most` points."""
    if len(curve) <= most:
        return curve
    spaced = np.geomspace if log_x else np.linspace
    edges = np.unique(np.round(spaced(1, len(curve), most)).astype(int))
    groups = np.searchsorted(edges, np.arange(1, len(curve) + 1))
    steps = pd.Series(curve.index.to_numpy(dtype=float)).groupby(groups).mean()
    return pd.Series(curve.to_numpy()).groupby(groups).mean().set_axis(steps.to_numpy())


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_LABEL else f"{name[: LONGEST_LABEL - 1]}…"
