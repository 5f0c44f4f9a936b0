"""Columns as bytes: two uint16 a cell for each map and one uint8 for each colouring."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from pancyte.pl.colours import as_categories, colours_of
from pancyte.report.parts import Colouring, Scatter

NONE = 255
"""Code of a cell without a value."""

STEPS = 254
"""Largest code of a value: the colour scale has 255 steps."""


def pack(scatter: Scatter) -> dict[str, Any]:
    """Turn a scatter into the JSON the page's script reads; equal columns are stored once."""
    columns: dict[bytes, int] = {}

    def stored(values: np.ndarray) -> int:
        return columns.setdefault(values.tobytes(), len(columns))

    maps = []
    for name, xy in scatter.maps.items():
        levels, x, y = quantise_map(np.asarray(xy, dtype=float))
        maps.append({"name": name, "x": x, "y": y, "column": stored(levels)})
    colours: list[dict[str, str]] = []
    colourings = []
    for colouring in scatter.colourings:
        codes, described = encode(colouring)
        if colouring.kind == "categorical":
            names = described["categories"]
            described["colours"] = list(colours_of(names, colours).values())
        colourings.append(described | {"column": stored(codes)})
    return {
        "name": scatter.name,
        "cells": [str(name) for name in scatter.cells],
        "size": len(scatter),
        "maps": maps,
        "colourings": colourings,
        "columns": [base64.b64encode(column).decode("ascii") for column in columns],
    }


def quantise_map(xy: np.ndarray) -> tuple[np.ndarray, list[float], list[float]]:
    """Scale each axis to 0…65535; return the levels (cells, 2) and the range of each axis."""
    low, high = xy.min(axis=0), xy.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    levels = np.rint((xy - low) / span * 65535).astype("<u2")
    x, y = ([float(low[axis]), float(high[axis])] for axis in (0, 1))
    return levels, x, y


def encode(colouring: Colouring) -> tuple[np.ndarray, dict[str, Any]]:
    """Give each cell a code from 0 to 254, or 255 if it has no value, and say what codes mean."""
    if colouring.kind == "continuous":
        codes, described = _scale(colouring)
    else:
        codes, described = _categories(colouring)
    described |= {
        "name": colouring.name,
        "kind": colouring.kind,
        "missing": {"name": colouring.missing, "count": int((codes == NONE).sum())},
    }
    return codes, described


def _scale(colouring: Colouring) -> tuple[np.ndarray, dict[str, Any]]:
    values = np.asarray(colouring.values, dtype=float)
    known = np.isfinite(values)
    low, high = colouring.limits or (
        (float(values[known].min()), float(values[known].max())) if known.any() else (0.0, 1.0)
    )
    span = high - low if high > low else 1.0
    codes = np.full(len(values), NONE, dtype=np.uint8)
    codes[known] = np.rint((np.clip(values[known], low, high) - low) / span * STEPS)
    return codes, {"limits": [low, high]}


def _categories(colouring: Colouring) -> tuple[np.ndarray, dict[str, Any]]:
    """Give categories codes; beyond 255, the last ones share a code."""
    values = as_categories(colouring.values)
    names = [str(name) for name in values.categories]
    numbers = values.codes.astype(int)
    codes = np.where(numbers < 0, NONE, np.minimum(numbers, STEPS)).astype(np.uint8)
    if len(names) > NONE:
        names = [*names[:STEPS], f"{len(names) - STEPS} further"]
    counts = np.bincount(codes, minlength=NONE + 1)[: len(names)]
    return codes, {"categories": names, "counts": counts.tolist()}
