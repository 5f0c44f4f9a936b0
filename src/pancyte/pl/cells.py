"""Figures of cells: what is known of each, on a map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pancyte.errors import InputError
from pancyte.pl.colours import GREY, SCALE, as_categories, colours_of
from pancyte.pl.sheet import figure_of, panels, save_as

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def embedding(
    adata: AnnData,
    basis: str,
    *,
    color: str | Sequence[str] | None = None,
    size: float | None = None,
    title: str | None = None,
    ax: Axes | None = None,
    save: str | Path | None = None,
) -> Axes | list[Axes]:
    """Draw cells as points on a map, coloured by what is known of them.

    Parameters
    ----------
    adata
        Annotated cells.
    basis
        Name in ``.obsm``, with or without ``X_``. Of more than two columns, the first two
        principal components are drawn.
    color
        Column of ``.obs`` or name of a gene; several give one panel each.
    size
        Area of a point in points².
    title
        Instead of the name of the colour.
    ax
        Where to draw; only with one colour.
    save
        File to write as well.

    Raises
    ------
    InputError
        If the basis or a colour is not in `adata`.
    """
    names = [color] if color is None or isinstance(color, str) else list(color)
    xy, axes_names = _coordinates(adata, basis)
    axes = [ax] if ax is not None else panels(len(names))
    if len(axes) != len(names):
        raise InputError(f"One ax was given for {len(names)} colours.", fix="Give one colour.")
    order = np.random.default_rng(0).permutation(len(xy))
    area = size or min(60.0, 120_000 / max(1, len(xy)))
    given: list[dict[str, str]] = []
    for name, panel in zip(names, axes, strict=True):
        values = None if name is None else values_of(adata, name).iloc[order]
        _points(panel, xy[order], values, area=area, given=given)
        panel.set(xticks=[], yticks=[], xlabel=axes_names[0], ylabel=axes_names[1])
        panel.set_title(title if title is not None else name or "")
    save_as(axes[0], save)
    return axes if len(axes) > 1 else axes[0]


def annotation(
    adata: AnnData,
    *,
    basis: str | None = None,
    label_key: str = "pancyte_label",
    probability_key: str = "pancyte_probability",
    truth_key: str | None = None,
    save: str | Path | None = None,
) -> Figure:
    """Draw predicted cell types and how sure they are, next to the true ones if known.

    Parameters
    ----------
    adata
        Annotated cells, after `pancyte.tl.annotate`.
    basis
        Name in ``.obsm``; by default ``X_umap`` if present, else the first one.
    label_key, probability_key
        Columns of ``.obs`` with the label and its probability.
    truth_key
        Column of ``.obs`` with the true label.
    save
        File to write as well.

    Raises
    ------
    InputError
        If one of these is not in `adata`.
    """
    if basis is None:
        found = sorted(adata.obsm, key=lambda name: name != "X_umap")
        if not found:
            raise InputError("The data have no embedding.", fix="Run pan.tl.embed first.")
        basis = found[0]
    colours = [*([truth_key] if truth_key else []), label_key, probability_key]
    first = embedding(adata, basis, color=colours, save=save)
    return figure_of(first[0] if isinstance(first, list) else first)


def _points(
    ax: Axes,
    xy: np.ndarray,
    values: pd.Series | None,
    *,
    area: float,
    given: list[dict[str, str]],
) -> None:
    x, y = xy.T
    style: dict[str, Any] = {"s": area, "linewidths": 0, "rasterized": True}
    if values is None:
        ax.scatter(x, y, c=GREY, **style)
    elif pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        from matplotlib import colormaps

        scale = colormaps[SCALE].with_extremes(bad=GREY)
        numbers = values.to_numpy(dtype=float)
        drawn = ax.scatter(x, y, c=numbers, cmap=scale, plotnonfinite=True, **style)
        figure_of(ax).colorbar(drawn, ax=ax, shrink=0.6, aspect=25)
    else:
        categories = as_categories(values)
        chosen = colours_of(map(str, categories.categories), given)
        colours = np.array([*(colour or GREY for colour in chosen.values()), GREY])
        ax.scatter(x, y, c=colours[categories.codes], **style)
        _legend(ax, chosen, missing=bool((categories.codes < 0).any()))


def _legend(ax: Axes, chosen: Mapping[str, str], *, missing: bool) -> None:
    from matplotlib.lines import Line2D

    entries = {name: colour for name, colour in chosen.items() if colour}
    entries |= {f"{len(chosen) - len(entries)} more": GREY} if len(entries) < len(chosen) else {}
    entries |= {"missing": GREY} if missing else {}
    dots = [
        Line2D([], [], linestyle="", marker="o", color=colour, label=name)
        for name, colour in entries.items()
    ]
    ax.legend(handles=dots, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)


def _coordinates(adata: AnnData, basis: str) -> tuple[np.ndarray, tuple[str, str]]:
    key = basis if basis in adata.obsm else f"X_{basis}"
    if key not in adata.obsm:
        raise InputError(
            f"The data have no embedding {basis!r}.",
            fix=f"Embeddings here: {sorted(adata.obsm)}. Run pan.tl.embed, or give another basis.",
        )
    points = np.asarray(adata.obsm[key], dtype=float)
    name = key.removeprefix("X_")
    if points.shape[1] <= 2:
        return points, (f"{name} 1", f"{name} 2")
    from sklearn.decomposition import PCA

    xy = PCA(n_components=2, svd_solver="full").fit_transform(points)
    return xy, (f"PC 1 of {name}", f"PC 2 of {name}")


def values_of(adata: AnnData, name: str) -> pd.Series:
    """Read a column of ``.obs`` or, failing that, a gene."""
    if name in adata.obs:
        return adata.obs[name]
    if name in adata.var_names:
        column = adata[:, name].X
        dense = column.toarray() if hasattr(column, "toarray") else np.asarray(column)
        return pd.Series(dense.ravel(), index=adata.obs_names)
    raise InputError(
        f"The data have no column and no gene called {name!r}.",
        fix=f"Columns of .obs: {list(adata.obs.columns)}.",
    )
