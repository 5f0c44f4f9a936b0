"""Colours that stay apart under colour-vision deficiency, and who gets which."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

PALETTE = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#9d1458", "#9380f5",
    "#93ce89", "#804e00", "#583bb1", "#896280", "#00d8d8", "#ba454e", "#b1a776", "#6c4576",
    "#ffa7c4", "#7662d8", "#d8c400", "#a745a7",
)  # fmt: skip
"""Colours of categories, most distinct first. The first six are Okabe and Ito's (2008); each
further one lies as far as possible (Oklab) from all before it, in normal vision and under
Machado's (2009) protan-, deuteran- and tritanopia, and shows on black and on white."""

GREY = "#b4bac2"
"""Colour of cells without a value and of categories beyond the palette."""

SCALE = "viridis"


def colours_of(names: Iterable[str], earlier: list[dict[str, str]] | None = None) -> dict[str, str]:
    """Give each category a colour of its own; those beyond the palette share ``""``.

    Parameters
    ----------
    names
        Categories, those that need the most distinct colours first.
    earlier
        Colours given in the same figure. A set of categories that shares one with these, as
        predictions do with labels, goes on with its colours; another starts anew and is added.
    """
    wanted = list(names)
    known = [] if earlier is None else earlier
    chosen = next((given for given in known if not given.keys().isdisjoint(wanted)), None)
    if chosen is None:
        chosen = {}
        known.append(chosen)
    for name in wanted:
        if name not in chosen:
            chosen[name] = PALETTE[len(chosen)] if len(chosen) < len(PALETTE) else ""
    return {name: chosen[name] for name in wanted}


def as_categories(values: Any) -> pd.Categorical:
    """Read names per cell as categories, the largest first and ties by name.

    An ordered categorical keeps its order. NaN and None stay missing.
    """
    column = pd.Series(values).reset_index(drop=True)
    if isinstance(column.dtype, pd.CategoricalDtype) and column.dtype.ordered:
        return pd.Categorical(column.cat.remove_unused_categories())
    text = column.astype(object)
    text = text.where(text.isna(), text.astype(str))
    sizes = text.value_counts(sort=False).sort_index().sort_values(ascending=False, kind="stable")
    return pd.Categorical(text, categories=sizes.index)
