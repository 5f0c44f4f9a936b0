"""Figures of how sure labels are, and of whether they should be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pancyte.errors import InputError
from pancyte.pl.cells import embedding, values_of
from pancyte.pl.colours import GREY, PALETTE
from pancyte.pl.sheet import figure_of, panels, save_as

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SEPARATOR = " | "
BINS = 10


def confidence(
    adata: AnnData,
    *,
    basis: str | None = None,
    key: str = "pancyte",
    save: str | Path | None = None,
) -> Figure:
    """Draw where on the map labels are given, how sure they are, and where cells are new.

    Parameters
    ----------
    adata
        Cells, after `pancyte.tl.annotate` with a reference.
    basis
        Name in ``.obsm``; by default ``X_umap`` if present, else the annotation's own
        components.
    key
        The annotation's ``key_added``.
    save
        File to write as well.

    Raises
    ------
    InputError
        If the annotation or the basis is not in `adata`.
    """
    shown = basis or ("X_umap" if "X_umap" in adata.obsm else f"X_{key}_pca")
    names = [f"{key}_{name}" for name in ("label", "probability", "novelty")]
    for name in names:
        values_of(adata, name)
    axes = panels(3, width=6.0)
    for ax, name in zip(axes, names, strict=True):
        embedding(adata, shown, color=name, ax=ax)
    titles = ("label", "calibrated probability", "novelty p-value")
    for ax, title in zip(axes, titles, strict=True):
        ax.set_title(title)
    save_as(axes[0], save)
    return figure_of(axes[0])


def reliability(
    adata: AnnData,
    truth_key: str,
    *,
    key: str = "pancyte",
    ax: Axes | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Draw how often labels of each stated probability were right; honest ones lie on the line.

    Parameters
    ----------
    adata
        Cells, after `pancyte.tl.annotate` with a reference.
    truth_key
        Column of ``.obs`` with the true label; cells without one are left out.
    key
        The annotation's ``key_added``.
    ax, save
        Where to draw, and a file to write as well.

    Raises
    ------
    InputError
        If a column is missing, or no cell has a true label.
    """
    right, given = _answers(adata, truth_key, key)
    bins = np.minimum((given * BINS).astype(int), BINS - 1)
    used = np.unique(bins)
    stated = np.array([given[bins == b].mean() for b in used])
    found = np.array([right[bins == b].mean() for b in used])
    cells = np.array([(bins == b).sum() for b in used])
    low, high = _wilson(found, cells)
    ax = ax or panels(1, width=4.2, height=4.2)[0]
    ax.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="as stated")
    reach = [found - low, high - found]
    ax.errorbar(stated, found, yerr=reach, fmt="o-", color=PALETTE[0], capsize=2, label="found")
    for x, y, count in zip(stated, found, cells, strict=True):
        ax.annotate(f"{count:,}", (x, y), (6, -9), textcoords="offset points", fontsize=7)
    error = float((cells * np.abs(stated - found)).sum() / cells.sum())
    ax.set(xlim=(0, 1.02), ylim=(-0.02, 1.02), xlabel="stated probability", ylabel="share right")
    ax.set_title(f"calibration error {error:.3f}, {cells.sum():,} cells")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, loc="upper left")
    save_as(ax, save)
    return ax


def coverage(
    adata: AnnData,
    truth_key: str,
    *,
    key: str = "pancyte",
    ax: Axes | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Draw how many errors remain if only the surest cells are labelled.

    Parameters
    ----------
    adata, truth_key, key, ax, save
        As for `reliability`. The surest are those with the highest ``<key>_trust``. A point marks
        the cells that `pancyte.tl.annotate` labelled.
    """
    right, given = _answers(adata, truth_key, key)
    if f"{key}_trust" in adata.obs:
        given = _labels(adata, truth_key, f"{key}_trust").astype(float).to_numpy()
    order = np.argsort(-given, kind="stable")
    errors = 1 - np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    share = np.arange(1, len(order) + 1) / len(order)
    labelled = ~_labels(adata, truth_key, f"{key}_label").str.startswith("unassigned")
    ax = ax or panels(1, width=4.6, height=3.6)[0]
    ax.plot(share, errors, color=PALETTE[0], label="surest first")
    ax.axhline(1 - right.mean(), color=GREY, linestyle="--", linewidth=1, label="all cells")
    if labelled.any():
        kept = labelled.to_numpy()
        ax.plot(
            kept.mean(), 1 - right[kept].mean(), "o", color=PALETTE[4], label="labelled by annotate"
        )
    ax.set(xlim=(0, 1.02), ylim=(0, None), xlabel="share of cells labelled", ylabel="share wrong")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False)
    save_as(ax, save)
    return ax


def confusion_sets(
    adata: AnnData,
    truth_key: str,
    *,
    key: str = "pancyte",
    ax: Axes | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Draw which labels are left for each true cell type, in per cent of its cells.

    Parameters
    ----------
    adata, truth_key, key, ax, save
        As for `reliability`. Rows add up to more than 100 where several labels are left; the
        frame marks the right label, whose share is the coverage of that type.
    """
    from matplotlib.patches import Rectangle

    truth = _labels(adata, truth_key, truth_key)
    left = _labels(adata, truth_key, f"{key}_set").str.split(SEPARATOR, regex=False).explode()
    share = pd.crosstab(truth.loc[left.index].to_numpy(), left.to_numpy()).div(
        truth.value_counts(), axis=0
    )
    share = share.drop(columns="", errors="ignore").fillna(0)
    own = [name for name in share.index if name in share.columns]
    share = share[[*own, *share.columns.difference(own)]]
    side = 2.2 + 0.36 * max(share.shape)
    ax = ax or panels(1, width=side, height=side)[0]
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    ax.set_xticks(range(share.shape[1]), list(share.columns), rotation=45, ha="right")
    ax.set_yticks(range(share.shape[0]), list(share.index))
    ax.set(xlabel=f"labels left ({key}_set)", ylabel=f"true ({truth_key})", title="Row per cent")
    ax.spines[:].set_visible(False)
    parts = share.to_numpy(dtype=float)
    for row, column in np.ndindex(parts.shape):
        part = parts[row, column]
        if share.index[row] == share.columns[column]:
            corner = (column - 0.5, row - 0.5)
            ax.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=PALETTE[4], linewidth=1.2))
        if part >= 0.005 and max(share.shape) <= 25:
            ax.text(
                column, row, f"{100 * part:.0f}", ha="center", va="center", fontsize=7,
                color="white" if part > 0.55 else "black",
            )  # fmt: skip
    save_as(ax, save)
    return ax


def _labels(adata: AnnData, truth_key: str, name: str) -> pd.Series:
    truth, values = values_of(adata, truth_key), values_of(adata, name)
    known = truth.notna().to_numpy() & (truth.astype(str) != "").to_numpy()
    if not known.any():
        raise InputError(f"No cell has a label in {truth_key!r}.", fix="Name another column.")
    return pd.Series(values.astype(str).to_numpy()[known])


def _answers(adata: AnnData, truth_key: str, key: str) -> tuple[np.ndarray, np.ndarray]:
    truth = _labels(adata, truth_key, truth_key)
    right = truth == _labels(adata, truth_key, f"{key}_best")
    given = _labels(adata, truth_key, f"{key}_probability").astype(float)
    return right.to_numpy(dtype=float), given.to_numpy()


def _wilson(share: np.ndarray, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % interval of a share (Wilson 1927), which holds for few cells and shares near 0 or 1."""
    z = 1.959964
    middle = (share + z**2 / (2 * cells)) / (1 + z**2 / cells)
    reach = np.sqrt(share * (1 - share) / cells + z**2 / (4 * cells**2)) * z / (1 + z**2 / cells)
    return np.minimum(middle - reach, share), np.maximum(middle + reach, share)
