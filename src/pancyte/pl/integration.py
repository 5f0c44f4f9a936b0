"""Figures of integrations: biology and batch, always side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pancyte.errors import InputError
from pancyte.pl.colours import PALETTE
from pancyte.pl.sheet import figure_of, panels, save_as

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRIED = "#6b7480"
PARTS = {
    "biology": "biology: types apart",
    "batch": "batch: batches mixed",
    "total": ".6 biology + .4 batch",
}


def integration(adata: AnnData, *, save: str | Path | None = None) -> Figure:
    """Draw what each integration tried did to biology and to the batches, best on top.

    Parameters
    ----------
    adata
        Cells after `pancyte.tl.integrate`.
    save
        File to write as well.

    Returns
    -------
    A figure of three panels; a bar is one standard deviation over draws of the cells, a cross an
    integration that mixed a type found in one batch only with others.

    Raises
    ------
    InputError
        If the cells have not been integrated.
    """
    steps = json.loads(adata.uns.get("pancyte", "[]"))
    how = next((step for step in steps[::-1] if step["verb"] == "integrate"), None)
    if how is None:
        raise InputError("These cells were not integrated.", fix="Run pan.tl.integrate first.")
    rows = sorted(how["evidence"], key=lambda row: row["total"])
    axes = panels(len(PARTS), width=3.6, height=1.2 + 0.32 * len(rows))
    for ax, (part, title) in zip(axes, PARTS.items(), strict=True):
        for place, row in enumerate(rows):
            _point(ax, place, row, part, chosen=row["method"] == how["method"])
        ax.set_yticks(
            range(len(rows)), [row["method"] if part == "biology" else "" for row in rows]
        )
        ax.set_ylim(-0.6, len(rows) - 0.4)
        ax.set_title(title, fontsize=9)
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.grid(axis="x", linewidth=0.5, alpha=0.5)
        ax.set_axisbelow(True)
    _kinds(figure_of(axes[0]))
    save_as(axes[0], save)
    return figure_of(axes[0])


def _point(ax: Axes, place: int, row: dict[str, Any], part: str, *, chosen: bool) -> None:
    style: dict[str, Any] = {"color": PALETTE[0] if chosen else TRIED, "capsize": 2}
    style |= {"fmt": "x" if row["overcorrected"] else "o", "markersize": 7 if chosen else 5}
    ax.errorbar(row[part], place, xerr=row[f"{part}_sd"], **style)


def _kinds(figure: Figure) -> None:
    from matplotlib.lines import Line2D

    kinds = [("kept", "o", PALETTE[0]), ("tried", "o", TRIED), ("over-corrected", "x", TRIED)]
    dots = [
        Line2D([], [], linestyle="", label=name, marker=marker, color=colour)
        for name, marker, colour in kinds
    ]
    figure.legend(handles=dots, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
