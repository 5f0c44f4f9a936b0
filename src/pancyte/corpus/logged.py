"""Logged values of one depth, from counts or from what was done to them; never logged twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix

from pancyte.corpus.counts import features_of, locate, matrix_at
from pancyte.corpus.values import LOGARITHMS, Values
from pancyte.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

# Totals are told to this precision; float32 values do not carry more
SAME = 1e-3


def log_normalised(
    adata: AnnData, target_sum: float = 1e4, *, layer: str | None = None
) -> tuple[csr_matrix, str]:
    """Return log1p of counts scaled to one total per cell, whatever the AnnData holds of them.

    Counts are normalised and logged. Values that were normalised already are rescaled, which is
    exact as long as every cell has the same known total; logged ones are not logged again.

    Parameters
    ----------
    adata
        Cells; not changed.
    target_sum
        Total per cell before the logarithm.
    layer
        Where to look; X, the layers and raw if not given, counts before anything else.

    Returns
    -------
    float32 CSR, (cells, genes), and one sentence on what was done. Empty cells stay empty.

    Raises
    ------
    InputError
        If there are neither counts nor values of a known total per cell.
    """
    found = locate(adata, layer=layer)
    known = [place for place, values in found.tried.items() if values.target_sum is not None]
    place = found.place or next(iter(known), None)
    if place is None:
        raise InputError(
            f"There are no counts, and nothing that can be brought to {target_sum:,.0f} per cell: "
            f"{found.words()}.",
            fix="Give the raw counts, or values normalised over all genes, in X or a layer.",
        )
    if not features_of(adata, place).index.equals(adata.var_names):
        raise InputError(
            "The counts are in raw, which has other genes than X.",
            fix="Take those: adata = adata.raw.to_adata().",
        )
    values = found.tried[place]
    matrix = csr_matrix(matrix_at(adata, place), dtype=np.float64, copy=True)
    same = values.target_sum is not None and abs(values.target_sum / target_sum - 1) < SAME
    if same and values.logarithm == "log1p":
        return matrix.astype(np.float32), f"{place} is {values.words} already: taken as it is."
    return _brought(matrix, values, target_sum), (
        f"{place} holds {values.words}; a copy was brought to {target_sum:,.0f} per cell and log1p."
    )


def _brought(matrix: csr_matrix, values: Values, target_sum: float) -> csr_matrix:
    if values.logarithm is not None:
        matrix.data = LOGARITHMS[values.logarithm](matrix.data)
    totals = np.asarray(matrix.sum(axis=1)).ravel()
    factors = np.divide(target_sum, totals, out=np.zeros_like(totals), where=totals > 0)
    matrix.data = np.log1p(matrix.data * np.repeat(factors, np.diff(matrix.indptr)))
    return matrix.astype(np.float32)
