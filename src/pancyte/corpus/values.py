"""What kind of numbers a matrix holds: counts, their logarithm, or something beyond repair."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import sparse

Kind = Literal[
    "counts", "float counts", "log1p", "normalised", "scaled", "imputed", "empty", "not finite",
    "unclear",
]  # fmt: skip

SAMPLE = 2000
# a cell with counts of ten million molecules per cell does not exist; log1p(1e7) = 16.1
LARGEST_LOG = 16.2
LOGARITHMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "log1p": np.expm1,
    "log2(1 + x)": lambda x: np.exp2(x) - 1,
    "log10(1 + x)": lambda x: 10**x - 1,
}


@dataclass(frozen=True)
class Values:
    """What a matrix was recognised as.

    Attributes
    ----------
    kind
        One of nine kinds; only ``"counts"`` and ``"float counts"`` can be used as counts.
    words
        The same for people, with numbers.
    target_sum
        Total per cell before a logarithm, where all cells share one.
    logarithm
        Name of the logarithm, for ``"log1p"``.
    first
        For NaN and infinities, row and column of the first.
    """

    kind: Kind
    words: str
    target_sum: float | None = None
    logarithm: str | None = None
    first: tuple[int, int] | None = None

    @property
    def usable(self) -> bool:
        """Whether these are counts."""
        return self.kind in ("counts", "float counts")


def _is_sparse(matrix: Any) -> bool:
    return bool(sparse.issparse(matrix))


def recognise(matrix: Any) -> Values:
    """Tell counts from normalised, logged, scaled or imputed values.

    Signs, NaN and whole numbers are looked at in every value; the rest is estimated from up to
    2,000 evenly spaced cells, always the same ones.

    Parameters
    ----------
    matrix
        Dense or sparse, (cells, features).

    Notes
    -----
    Depth-normalised counts betray themselves: within a cell they are multiples of the value
    that one molecule has, and their totals agree between cells if no gene was dropped since.
    """
    stored = matrix.data if _is_sparse(matrix) else np.asarray(matrix).ravel()
    if stored.dtype == bool:
        stored = stored.astype(np.int8)
    if not stored.size or not stored.any():
        return Values("empty", "only zeros")
    whole = stored.dtype.kind in "iu"
    if not whole:
        finite = np.isfinite(stored)
        if not finite.all():
            return _not_finite(matrix, int((~finite).sum()))
    if stored.min() < 0:
        share = float((stored < 0).mean())
        return Values(
            "scaled", f"negative values ({share:.0%}, least {stored.min():.3g}), as scaled"
        )
    if whole or (np.rint(stored) == stored).all():
        return Values("counts", "counts")
    return _fractional(_sampled(matrix))


def _not_finite(matrix: Any, number: int) -> Values:
    rows = sparse.coo_matrix(matrix) if _is_sparse(matrix) else None
    if rows is None:
        row, column = np.argwhere(~np.isfinite(np.asarray(matrix)))[0]
    else:
        wrong = np.flatnonzero(~np.isfinite(rows.data))
        place = wrong[np.lexsort((rows.col[wrong], rows.row[wrong]))[0]]
        row, column = rows.row[place], rows.col[place]
    return Values("not finite", f"{number:,} NaN or infinite values", first=(int(row), int(column)))


def _sampled(matrix: Any) -> sparse.csr_matrix:
    cells = matrix.shape[0]
    rows = np.unique(np.linspace(0, cells - 1, min(cells, SAMPLE)).astype(np.int64))
    if _is_sparse(matrix) and matrix.format == "csc":
        matrix = matrix.tocsr()
    sample = sparse.csr_matrix(matrix[rows], dtype=np.float64)
    sample.eliminate_zeros()
    return sample[np.diff(sample.indptr) > 0]


def _fractional(sample: sparse.csr_matrix) -> Values:
    if (np.rint(sample.data) == sample.data).mean() > 0.5:
        return Values("float counts", "counts with fractions")
    constant, multiples, total = _normalised(sample)
    if constant or multiples:
        return Values("normalised", f"normalised{_to(total)}, not logged", total)
    if sample.data.max() < LARGEST_LOG:
        for name, undo in LOGARITHMS.items():
            linear = sample.copy()
            linear.data = undo(sample.data)
            constant, multiples, total = _normalised(linear)
            if constant or multiples:
                return Values("log1p", f"{name}-normalised{_to(total)}", total, name)
    if sample.nnz > 0.9 * np.prod(sample.shape) and sample.shape[1] > 50:
        return Values("imputed", "fractions nearly without zeros, as after imputation")
    if sample.data.max() < LARGEST_LOG:
        return Values("unclear", f"fractions up to {sample.data.max():.3g}, as after a logarithm")
    return Values("float counts", "counts with fractions")


def _normalised(linear: sparse.csr_matrix) -> tuple[bool, bool, float | None]:
    """Look for equal totals, and for values that are multiples of their cell's smallest."""
    totals = np.asarray(linear.sum(axis=1)).ravel()
    constant = len(totals) > 1 and bool(totals.std() < 0.01 * totals.mean())
    smallest = np.minimum.reduceat(linear.data, linear.indptr[:-1])
    ratios = linear.data / np.repeat(smallest, np.diff(linear.indptr))
    # large ratios are near a whole number by rounding alone, ones are trivially whole
    telling = ratios[(ratios > 1.001) & (ratios < 20)]
    multiples = telling.size > 0 and bool((np.abs(telling - np.rint(telling)) < 0.02).mean() > 0.9)
    return constant, multiples, float(np.median(totals)) if constant else None


def _to(total: float | None) -> str:
    return "" if total is None else f" to {total:,.0f} per cell"
