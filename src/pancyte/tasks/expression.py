"""The view of the data that simple methods work on: log-normalised, highly variable genes."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_matrix, vstack

from pancyte.corpus.genes import REFUSE_BELOW, match
from pancyte.errors import InputError

if TYPE_CHECKING:
    from pancyte.shapes import Cells

TARGET_SUM = 1e4
GENES = 2000


def while_same_cells(function: Callable[..., Any]) -> Callable[..., Any]:
    """Remember a function's last result for as long as it is asked about the same objects.

    Several baselines start from the same genes and components of the same split; this computes
    them once without keeping any data alive.
    """
    last: dict[str, Any] = {}

    @wraps(function)
    def remembered(*parts: Cells, **options: Any) -> Any:
        known = last.get("parts", ())
        same = len(known) == len(parts) and all(
            ref() is cells for ref, cells in zip(known, parts, strict=True)
        )
        if not same or last["options"] != options:
            last["result"] = function(*parts, **options)
            last["parts"] = tuple(map(weakref.ref, parts))
            last["options"] = options
        return last["result"]

    return remembered


def log_normalised(counts: csr_matrix, totals: np.ndarray) -> csr_matrix:
    """Scale each cell to 10,000 counts, given its total over all genes, and take log(1 + x)."""
    per_value = np.repeat(TARGET_SUM / np.maximum(totals, 1), np.diff(counts.indptr))
    values = np.log1p(counts.data * per_value).astype(np.float32)
    return csr_matrix((values, counts.indices, counts.indptr), counts.shape)


@while_same_cells
def expression(*parts: Cells, genes: int = GENES) -> tuple[csr_matrix, ...]:
    """Log-normalised expression of the reference's highly variable genes, in every part.

    The first part is the reference: genes are chosen by their dispersion in its cells alone
    (scanpy, ``flavor="seurat"``, Satija et al. 2015), among those that all parts measured and
    that at least three reference cells express. Genes are matched by whichever names agree, as
    for a model.

    Returns
    -------
    For each part (cells, genes), float32, the same genes in the same order.

    Raises
    ------
    InputError
        If less than a fifth of the genes of the smaller part are in the reference.
    """
    return tuple(logged for _, logged in _chosen(*parts, genes=genes))


def whole_expression(*parts: Cells, genes: int = GENES) -> csr_matrix:
    """Log-normalised expression of the genes most variable in all parts together, (cells, genes).

    Cells of the parts follow one another; otherwise as `expression`.
    """
    aligned, columns = shared_counts(*parts)
    totals = np.concatenate([np.asarray(cells.counts.sum(axis=1)).ravel() for cells in parts])
    logged = log_normalised(vstack(aligned, format="csr"), totals.astype(np.float64))[:, columns]
    return logged[:, variable(logged, genes)]


def raw_counts(*parts: Cells, genes: int = GENES) -> tuple[csr_matrix, ...]:
    """Raw counts of the same genes as `expression`, in every part."""
    return tuple(counts for counts, _ in _chosen(*parts, genes=genes))


def _chosen(*parts: Cells, genes: int) -> list[tuple[csr_matrix, csr_matrix]]:
    aligned, columns = shared_counts(*parts)
    totals = [np.asarray(cells.counts.sum(axis=1), dtype=np.float64).ravel() for cells in parts]
    matrices = [log_normalised(*pair) for pair in zip(aligned, totals, strict=True)]
    chosen = columns[variable(matrices[0][:, columns], genes)]
    pairs = zip(aligned, matrices, strict=True)
    return [(counts[:, chosen], logged[:, chosen]) for counts, logged in pairs]


@while_same_cells
def shared_counts(*parts: Cells) -> tuple[tuple[csr_matrix, ...], np.ndarray]:
    """Counts of every part in the columns of the first, and which columns all parts measured.

    Raises
    ------
    InputError
        If less than a fifth of the genes of the smaller part are in the reference.
    """
    found = [_aligned(cells, parts[0]) for cells in parts]
    shared = np.logical_and.reduce([measured for _, measured in found])
    return tuple(counts for counts, _ in found), np.flatnonzero(shared)


def _aligned(cells: Cells, reference: Cells) -> tuple[csr_matrix, np.ndarray]:
    """Put counts in the reference's columns; say which of those were measured in `cells`."""
    vocabulary = reference.features
    if cells.features is vocabulary and vocabulary.index.is_unique:
        return cells.counts, np.ones(len(vocabulary), dtype=bool)
    found = match(cells.features, vocabulary)
    measured = np.isin(np.arange(found.size), found.columns)
    if measured.sum() < REFUSE_BELOW * min(len(cells.features), found.size):
        raise InputError(
            f"{reference.name} and {cells.name} share {measured.sum()} genes, e.g. "
            f"{vocabulary.index[0]!r} and {cells.features.index[0]!r}.",
            fix="Check the species, and that genes are named by symbol or Ensembl id.",
        )
    return found.project(cells.counts), measured


def variable(reference: csr_matrix, genes: int) -> np.ndarray:
    """Columns of the most variable genes of log-normalised cells, in ascending order."""
    import scanpy as sc
    from anndata import AnnData

    expressed = np.flatnonzero(reference.getnnz(axis=0) >= min(3, reference.shape[0]))
    if len(expressed) <= genes:
        return expressed
    table = sc.pp.highly_variable_genes(
        AnnData(reference[:, expressed]), n_top_genes=genes, flavor="seurat", inplace=False
    )
    return expressed[table["highly_variable"].to_numpy()]
