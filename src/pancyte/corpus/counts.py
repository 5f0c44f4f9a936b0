"""Where the raw counts are: X, a layer or raw, verified rather than believed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from pancyte.corpus.values import Values, recognise
from pancyte.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

# Velocity layers are whole numbers too, but each is only a part of the molecules
_PARTIAL = {"spliced", "unspliced", "ambiguous", "spanning", "matrix"}
_LIKELY = ("counts", "raw_counts", "count", "umi", "umis", "raw")


@dataclass(frozen=True)
class Located:
    """Where counts were found, and what was found elsewhere on the way.

    Attributes
    ----------
    place
        ``"X"``, ``"layers['name']"``, ``"raw"``, or None if nothing is counts.
    values
        What the matrix there, or else the first one, was recognised as.
    tried
        Every matrix looked at, in order, with what it was recognised as.
    """

    place: str | None
    values: Values
    tried: dict[str, Values]

    def words(self) -> str:
        """Say what every matrix holds."""
        return "; ".join(f"{place} holds {values.words}" for place, values in self.tried.items())


def matrices(adata: AnnData) -> Iterator[tuple[str, Any]]:
    """Go through X, the layers, likely ones first, and raw."""
    if adata.isbacked:
        raise InputError(
            "The AnnData is open in backed mode.", fix="Load it: adata = adata.to_memory()."
        )
    if adata.X is not None:
        yield "X", adata.X
    names = [name for name in adata.layers if str(name).lower() not in _PARTIAL]
    rank = {name: place for place, name in enumerate(_LIKELY)}
    for name in sorted(names, key=lambda name: rank.get(str(name).lower(), len(rank))):
        yield f"layers[{name!r}]", adata.layers[name]
    if adata.raw is not None:
        yield "raw", adata.raw.X


def locate(adata: AnnData, *, layer: str | None = None) -> Located:
    """Find the matrix that holds counts: X, then layers, then raw; whole numbers win.

    Parameters
    ----------
    adata
        Any AnnData in memory.
    layer
        Look only here: a layer's name, ``"X"`` or ``"raw"``.
    """
    candidates = matrices(adata)
    if layer is not None:
        wanted = (
            layer if layer in ("X", "raw") and layer not in adata.layers else f"layers[{layer!r}]"
        )
        candidates = ((place, matrix) for place, matrix in candidates if place == wanted)
    tried: dict[str, Values] = {}
    for place, matrix in candidates:
        tried[place] = recognise(matrix)
        if tried[place].kind == "counts":
            return Located(place, tried[place], tried)
    if not tried:
        there = [place for place, _ in matrices(adata)]
        raise InputError(
            f"There is no matrix {layer!r}." if layer else "There is no matrix: X is empty.",
            fix=f"Found: {', '.join(there) or 'no X, layer or raw'}.",
        )
    for place, values in tried.items():
        if values.usable:
            return Located(place, values, tried)
    return Located(None, next(iter(tried.values())), tried)


def features_of(adata: AnnData, place: str | None) -> pd.DataFrame:
    """Return the feature table of a matrix: ``raw.var`` for raw, else ``var``."""
    return adata.raw.var if place == "raw" else adata.var


def counts_of(adata: AnnData, *, layer: str | None = None) -> csr_matrix:
    """Return the raw counts, wherever they are.

    Parameters
    ----------
    adata
        Cells with counts in X, a layer or raw.
    layer
        Layer to use; found and verified if not given.

    Returns
    -------
    float32 CSR, (cells, features) with sorted indices and no stored zeros. The features are
    those of ``raw.var`` if the counts were found in raw, which `pancyte.read` avoids, and else
    those of ``var``. `adata` is never changed.

    Raises
    ------
    InputError
        If nothing there is counts. Counts are never computed back from other values.
    """
    found = locate(adata, layer=layer)
    return canonical(matrix_at(adata, require_counts(adata, found)))


def matrix_at(adata: AnnData, place: str) -> Any:
    """Return the matrix at a place that `locate` named."""
    return next(matrix for name, matrix in matrices(adata) if name == place)


def canonical(matrix: Any) -> csr_matrix:
    """Turn any matrix into float32 CSR, sorted, without duplicates or stored zeros."""
    from pancyte.shapes import ordered  # loads torch, which reading a file does without

    return ordered(csr_matrix(matrix, dtype=np.float32))


def require_counts(adata: AnnData, found: Located) -> str:
    """Return the place of the counts, or explain why there is none."""
    if found.place is not None:
        return found.place
    values = found.values
    if values.kind == "not finite" and values.first is not None:
        row, column = values.first
        place = next(iter(found.tried))
        gene = features_of(adata, place).index[column]
        raise InputError(
            f"There are no usable counts: {found.words()}, the first in cell "
            f"{adata.obs_names[row]!r}, gene {gene!r}.",
            fix="Find out where they come from; remove those cells or genes if they mean nothing.",
        )
    raise InputError(
        f"There are no raw counts: {found.words()}.", fix=_FIXES.get(values.kind, _ANY_FIX)
    )


_ANY_FIX = "Give the raw counts, as whole numbers, in X, a layer or raw."
_FIXES = {
    "log1p": "Counts are never guessed from logged values: read the file from before "
    "normalisation, or keep them, adata.layers['counts'] = adata.X.copy(), before logging. "
    "Highly variable genes and PCA (scanpy) take logged values as they are.",
    "normalised": "Read the file from before normalisation, or keep the counts in a layer.",
    "scaled": "Scaling (sc.pp.scale, z-scores) cannot be undone: read the file from before it, "
    "or put the counts in adata.layers['counts'].",
    "imputed": "Use the counts from before imputation.",
    "empty": "Every cell is empty: check the step that wrote this matrix.",
}
