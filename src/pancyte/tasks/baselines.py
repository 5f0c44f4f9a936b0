"""The simple methods every score is shown beside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pancyte.errors import InputError
from pancyte.tasks.dataset import column
from pancyte.tasks.expression import expression, while_same_cells, whole_expression
from pancyte.tasks.task import LabelProbabilities

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn import decomposition

    from pancyte.shapes import Cells

COMPONENTS = 50


class Majority:
    """Call every cell by the reference's commonest type, as confident as that type is common."""

    name = "majority"

    def label(
        self, reference: Cells, query: Cells, *, label_key: str, batch_key: str | None, seed: int
    ) -> LabelProbabilities:
        """Give each query cell the reference's label frequencies."""
        classes, counts = np.unique(column(reference, label_key), return_counts=True)
        return LabelProbabilities(classes, np.tile(counts / counts.sum(), (len(query), 1)))


class PCA:
    """Principal components of highly variable genes: what a foundation model has to beat.

    Counts are scaled to 10,000 per cell and logged, 2,000 genes chosen and 50 components fitted
    on the reference; a query is projected.
    """

    name = "pca"

    def embed(
        self, reference: Cells, *queries: Cells, batch_key: str | None, seed: int
    ) -> tuple[np.ndarray, ...]:
        """Return (cells, at most 50) for the reference and for each query."""
        return components(reference, *queries, seed=seed)


class PCAOfAll:
    """The same components, genes chosen and fitted on reference and query together.

    Transductive, without labels: what unlabelled cells are worth where few are labelled.
    """

    name = "pca-all"

    def embed(
        self, reference: Cells, *queries: Cells, batch_key: str | None, seed: int
    ) -> tuple[np.ndarray, ...]:
        """Return (cells, at most 50) for the reference and for each query."""
        parts = (reference, *queries)
        matrix = whole_expression(*parts)
        vectors = _fitted(matrix, seed, reference.name).transform(matrix)
        return tuple(np.split(vectors, np.cumsum([len(cells) for cells in parts])[:-1]))


class Harmony:
    """The same components with batches aligned (Korsunsky et al. 2019, Nat. Methods 16:1289).

    Transductive: reference and query are aligned together, without labels, so it has seen the
    query cells when they are scored. Batches are those of the batch column or, where that has
    one value or is not given, reference and queries themselves.
    """

    name = "harmony"

    def embed(
        self, reference: Cells, *queries: Cells, batch_key: str | None, seed: int
    ) -> tuple[np.ndarray, ...]:
        """Return (cells, at most 50) for the reference and for each query."""
        import harmonypy
        import pandas as pd

        parts = (reference, *queries)
        batches = batches_of(parts, batch_key)
        vectors = np.vstack(components(*parts, seed=seed))
        aligned = harmonypy.run_harmony(
            vectors, pd.DataFrame({"batch": batches}), ["batch"], verbose=False, random_state=seed
        )
        bounds = np.cumsum([len(cells) for cells in parts])[:-1]
        return tuple(np.split(np.asarray(aligned.Z_corr), bounds))


class L1Logistic:
    """Sparse logistic regression on the genes themselves, one type against the rest.

    The 2,000 highly variable genes of the reference, log-normalised, L1 penalty, C = 1: a
    strong baseline for large models (Boiarsky et al. 2024, Nat. Mach. Intell. 6:1437).
    """

    name = "l1-logistic"

    def label(
        self, reference: Cells, query: Cells, *, label_key: str, batch_key: str | None, seed: int
    ) -> LabelProbabilities:
        """Return the probability of each reference label for each query cell."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.multiclass import OneVsRestClassifier

        known, asked = expression(reference, query)
        regression = LogisticRegression(l1_ratio=1, solver="liblinear", random_state=seed)
        fitted = OneVsRestClassifier(regression).fit(known, column(reference, label_key))
        return LabelProbabilities(fitted.classes_, fitted.predict_proba(asked))


@while_same_cells
def components(*parts: Cells, seed: int) -> tuple[np.ndarray, ...]:
    """Principal components fitted on the first part, (cells, at most 50) for every part."""
    matrices = expression(*parts)
    fitted = _fitted(matrices[0], seed, parts[0].name)
    return tuple(fitted.transform(matrix) for matrix in matrices)


def _fitted(matrix: csr_matrix, seed: int, name: str) -> decomposition.PCA:
    from sklearn import decomposition

    rank = min(COMPONENTS, min(matrix.shape) - 1)
    if rank < 1:
        raise InputError(
            f"{name} has {matrix.shape[0]} cells and {matrix.shape[1]} genes to take components "
            f"of.",
            fix="Give at least two cells and two genes.",
        )
    return decomposition.PCA(rank, svd_solver="arpack", random_state=seed).fit(matrix)


def batches_of(parts: tuple[Cells, ...], batch_key: str | None) -> np.ndarray:
    """Batch of each cell of all parts; the part itself where the column tells nothing.

    Raises
    ------
    InputError
        If that leaves a single batch.
    """
    if batch_key is not None:
        named = np.concatenate([column(cells, batch_key) for cells in parts])
        if len(np.unique(named)) > 1:
            return named
    if len(parts) < 2:
        raise InputError(
            f"{parts[0].name} has a single batch; there is nothing to align.",
            fix="Name the column that holds the batch.",
        )
    return np.repeat([f"part {i}" for i in range(len(parts))], [len(cells) for cells in parts])
