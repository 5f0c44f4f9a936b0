"""What figures of many curves share: colours in turn and one legend for all panels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pancyte.pl.colours import PALETTE
from pancyte.pl.sheet import figure_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def curve(ax: Axes, number: int, x: Any, y: Any, label: str) -> None:
    """Draw the curve of one method; after the last colour they begin again, dashed."""
    style = "o-" if number < len(PALETTE) else "s--"
    colour = PALETTE[number % len(PALETTE)]
    ax.plot(x, y, style, color=colour, markersize=3, linewidth=1.2, label=label)
    ax.spines[["top", "right"]].set_visible(False)


def legend_below(ax: Axes) -> Figure:
    """Put the legend of `ax` below all panels of its figure."""
    figure = figure_of(ax)
    handles, labels = ax.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return figure
