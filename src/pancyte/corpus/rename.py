"""New names for the features of an AnnData; those that turn out to be one gene are summed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from pancyte.corpus.values import recognise
from pancyte.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

ORIGINAL = "original_name"


def rename(adata: AnnData, names: np.ndarray) -> None:
    """Rename features in place, adding up X and all layers where names coincide.

    Parameters
    ----------
    adata
        Cells; of features with the same name the first keeps its place and its row of ``var``.
        ``var["original_name"]`` gets the names from before the first renaming.
    names
        (features,) new names.

    Raises
    ------
    InputError
        If names coincide, and X or a layer does not hold counts.
    """
    if adata.is_view:
        adata._init_as_actual(adata.copy())
    group, unique = pd.factorize(names)
    summed = len(names) - len(unique)
    if summed:
        require_counts(adata, f"{summed:,} features are further names of genes that are there")
    original = _original(adata).groupby(group).agg("|".join)
    if summed:
        selection = csr_matrix((np.ones(len(group), np.int8), (np.arange(len(group)), group)))
        sums = [(layer, _sum(matrix, selection)) for layer, matrix in _matrices(adata)]
        adata._inplace_subset_var(np.unique(group, return_index=True)[1])
        for layer, matrix in sums:
            if layer is None:
                adata.X = matrix
            else:
                adata.layers[layer] = matrix
    adata.var[ORIGINAL] = original.to_numpy(object)
    adata.var_names = pd.Index(unique, name=adata.var_names.name)


def require_counts(adata: AnnData, why: str) -> None:
    """Refuse matrices, X or layers, whose values cannot be added up.

    Raises
    ------
    InputError
        Naming the matrix, what it holds, and `why` counts are needed.
    """
    if adata.isbacked:
        raise InputError(
            "The AnnData is open in backed mode.", fix="Load it: adata = adata.to_memory()."
        )
    for layer, matrix in _matrices(adata):
        values = recognise(matrix)
        if values.usable or values.kind == "empty":
            continue
        place, fix = f"layers[{layer!r}]", f"Take it out first: del adata.layers[{layer!r}]."
        if layer is None:
            place, fix = "X", "Put the raw counts there: adata.X = adata.layers['counts'].copy()."
        raise InputError(f"{why}, and {place} holds {values.words}.", fix=fix)


def _original(adata: AnnData) -> pd.Series:
    names = pd.Series(adata.var_names.astype(str).to_numpy(object))
    if ORIGINAL not in adata.var:
        return names
    earlier = pd.Series(adata.var[ORIGINAL].to_numpy(object))
    return earlier.where(earlier.notna(), names).astype(str)


def _matrices(adata: AnnData) -> list[tuple[str | None, Any]]:
    first: list[tuple[str | None, Any]] = [] if adata.X is None else [(None, adata.X)]
    return [*first, *adata.layers.items()]


def _sum(matrix: Any, selection: csr_matrix) -> Any:
    # int16 and float32 hold each count exactly, but maybe not the sum of two
    wide = np.float64 if np.issubdtype(matrix.dtype, np.floating) else np.int64
    total = matrix.astype(wide) @ selection.astype(wide)
    narrow = total.astype(matrix.dtype)
    same = (narrow != total).sum() == 0
    return narrow if same or wide is np.float64 else total
