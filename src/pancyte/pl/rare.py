"""A figure of rare groups: where they are, and what tells them from the rest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pancyte.errors import InputError
from pancyte.pl.cells import embedding, values_of
from pancyte.pl.colours import GREY, as_categories, colours_of
from pancyte.pl.sheet import figure_of, panels, save_as

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS, LARGEST_DOT = 3, 120.0


def rare(
    adata: AnnData,
    *,
    basis: str | None = None,
    key: str = "rare",
    save: str | Path | None = None,
) -> Figure:
    """Draw called rare groups on a map, how sure each is, and who expresses their markers.

    Parameters
    ----------
    adata
        Cells, after `pancyte.tl.rare`.
    basis
        Name in ``.obsm``; by default ``X_umap`` if present, else the first one, else principal
        components of the log-normalised counts in X.
    key
        The ``key_added`` of `pancyte.tl.rare`.
    save
        File to write as well.

    Raises
    ------
    InputError
        If there are no rare groups in `adata`, or the basis is not.
    """
    if f"{key}_groups" not in adata.uns:
        raise InputError(f"The data have no {key}_groups in .uns.", fix="Run pan.tl.rare first.")
    table = adata.uns[f"{key}_groups"]
    groups = values_of(adata, f"{key}_group").astype(str)
    named = groups.where(groups != "", np.nan)
    axes = panels(3, width=6.0, height=4.4)
    shown = adata if basis or adata.obsm else _with_components(adata)
    chosen = basis or next(iter(sorted(shown.obsm, key=lambda name: name != "X_umap")))
    marked = shown.copy() if shown is adata else shown
    marked.obs["group"] = pd.Categorical(named)
    embedding(marked, chosen, color="group", ax=axes[0])
    legend = axes[0].get_legend()
    for text in legend.get_texts() if legend else ():
        text.set_text({"missing": "in none"}.get(text.get_text(), text.get_text()))
    axes[0].set_title("called groups")
    _certainty(axes[1], table, named)
    _dots(axes[2], adata, table[table["called"].astype(bool)], groups)
    save_as(axes[0], save)
    return figure_of(axes[0])


def _with_components(adata: AnnData) -> AnnData:
    from pancyte.corpus.cells import to_cells
    from pancyte.tasks.baselines import components

    marked = adata.copy()
    (marked.obsm["X_pca"],) = components(to_cells(adata), seed=0)
    return marked


def _certainty(ax: Axes, table: pd.DataFrame, named: pd.Series) -> None:
    """Every group that stood out: its size and its q-value; those called in their colour."""
    colours = colours_of(map(str, as_categories(named).categories))
    q = -np.log10(np.maximum(table["q_value"].to_numpy(dtype=float), 1e-300))
    fill = [colours.get(str(name)) or GREY for name in table.index]
    doubtful = table["doublets"].to_numpy(dtype=float) >= 0.5
    for mark, rows in (("o", ~doubtful), ("X", doubtful)):
        ax.scatter(
            table["cells"].to_numpy()[rows], 1 + q[rows], marker=mark, s=50,
            c=np.array(fill)[rows] if rows.any() else None, linewidths=0,
        )  # fmt: skip
    ax.set(yscale="log", xlabel="cells", ylabel="1 − log10(q)")
    # plain numbers, as the axis rarely spans more than a few
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter("{x:g}")
    ax.set_title("all groups that stood out; × may be doublets")
    ax.spines[["top", "right"]].set_visible(False)


def _dots(ax: Axes, adata: AnnData, called: pd.DataFrame, groups: pd.Series) -> None:
    """Share of each group's cells, and of all others, that have a read of each marker."""
    names = {str(name) for name in adata.var_names}
    symbols = adata.var.get("symbol", pd.Series(adata.var_names, adata.var_names))
    known = dict(zip(symbols.astype(str), adata.var_names, strict=True))
    genes: list[str] = []
    for markers in called["markers"]:
        own = [gene for gene in markers.split(", ") if gene in names or gene in known]
        genes += [gene for gene in own if gene not in genes][:MARKERS]
    rows = [*called.index, ""]
    for y, group in enumerate(rows):
        inside = (groups == group).to_numpy()
        for x, gene in enumerate(genes):
            values = values_of(adata, gene if gene in names else str(known[gene])).to_numpy()
            share = float((values[inside] > 0).mean()) if inside.any() else 0.0
            ax.scatter(x, y, s=LARGEST_DOT * share, color="#0072b2", linewidths=0)
    ax.set_xticks(range(len(genes)), genes, rotation=90, fontsize=7)
    ax.set_yticks(range(len(rows)), [*called.index, "other cells"])
    ax.set_title("share of cells with a read (dot size)")
    ax.invert_yaxis()
    ax.spines[["top", "right"]].set_visible(False)
