"""R objects as `rdata` parses them, looked at as what they mean to R."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd


def _real(item: Any) -> Any:
    """Follow a reference to the object it stands for."""
    while item is not None and item.referenced_object is not None:
        item = item.referenced_object
    return item


def value_of(item: Any) -> Any:
    """Return what an object holds."""
    return _real(item).value if item is not None else None


def pairs(item: Any) -> dict[str, Any]:
    """Read a pairlist: attributes of an object, or the objects of an RData file."""
    found: dict[str, Any] = {}
    item = _real(item)
    while item is not None and item.tag is not None and isinstance(item.value, tuple):
        symbol = _real(item.tag)
        found[symbol.value.value.decode()] = _real(item.value[0])
        item = _real(item.value[1])
    return found


def slots(item: Any) -> dict[str, Any]:
    """Return an object's attributes, which are also the slots of an S4 object."""
    item = _real(item)
    return pairs(item.attributes) if item is not None and item.attributes is not None else {}


def strings(item: Any) -> list[str]:
    """Return a character vector; a missing value is ``""``."""
    values = value_of(item)
    if not isinstance(values, list):
        return []
    texts = [value_of(text) or b"" for text in values]
    return [text.decode("utf-8", "replace") if isinstance(text, bytes) else "" for text in texts]


def classes(item: Any) -> list[str]:
    """Return the class of an object."""
    return strings(slots(item).get("class"))


def named(item: Any) -> dict[str, Any]:
    """Return a list by its names."""
    values = value_of(item)
    if not isinstance(values, list):
        return {}
    return dict(zip(strings(slots(item).get("names")), map(_real, values), strict=False))


def dense(item: Any) -> np.ndarray | None:
    """Return a plain matrix, stored by columns in R; None if it is none."""
    values, size = value_of(item), slots(item).get("dim")
    if size is None or not isinstance(values, np.ndarray) or len(size.value) != 2:
        return None
    return np.ma.filled(values.astype(np.float64), np.nan).reshape(tuple(size.value), order="F")


def log_map(item: Any) -> pd.DataFrame:
    """Return a SeuratObject LogMap, a logical matrix of names × layers."""
    own = slots(item)
    names, layers = (strings(part) for part in value_of(own["dimnames"]))
    values = np.asarray(value_of(item) if value_of(item) is not None else value_of(own[".Data"]))
    return pd.DataFrame(values.reshape((len(names), len(layers)), order="F"), names, layers)


def data_frame(item: Any) -> pd.DataFrame:
    """Return a data.frame; factors become categories."""
    columns = {name: _column(column) for name, column in named(item).items()}
    rows = strings(slots(item).get("row.names"))
    return pd.DataFrame(columns).set_axis(rows) if rows else pd.DataFrame(columns)


def _column(item: Any) -> Any:
    values = value_of(item)
    if isinstance(values, list):
        return strings(item)
    if "levels" in slots(item):
        codes: Any = np.ma.filled(np.ma.asarray(values) - 1, -1)
        levels: Any = strings(slots(item)["levels"])
        return pd.Categorical.from_codes(codes, levels)
    return pd.array(values) if np.ma.isMaskedArray(values) else values
