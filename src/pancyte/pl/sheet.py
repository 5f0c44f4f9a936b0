"""Empty axes, and files of filled ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pancyte.errors import UsageError
from pancyte.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def panels(count: int, *, width: float = 5.2, height: float = 4.0) -> list[Axes]:
    """Give `count` empty axes, at most three in a row, each of that size in inches."""
    from matplotlib import pyplot

    columns = min(count, 3)
    rows = -(-count // columns)
    _, axes = pyplot.subplots(
        rows, columns, figsize=(width * columns, height * rows), layout="constrained", squeeze=False
    )
    for unused in axes.ravel()[count:]:
        unused.set_axis_off()
    return list(axes.ravel()[:count])


def save_as(ax: Axes, path: str | Path | None) -> None:
    """Write the whole figure of `ax` to `path`, whose suffix says the format, atomically."""
    if path is None:
        return
    kind = Path(path).suffix.lstrip(".") or "png"
    with atomic_path(path) as partial:
        figure_of(ax).savefig(partial, format=kind, dpi=200, bbox_inches="tight")


def figure_of(ax: Axes) -> Figure:
    """Return the whole figure in which `ax` lies."""
    figure = ax.get_figure(root=True)
    if figure is None:
        raise UsageError("These axes belong to no figure any more.", fix="Make new axes.")
    return figure
