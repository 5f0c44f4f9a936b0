"""Principal components of a reference, kept so that later cells can be placed in them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from pancyte.corpus.genes import REFUSE_BELOW, match
from pancyte.errors import InputError
from pancyte.tasks.expression import GENES, log_normalised, variable

if TYPE_CHECKING:
    from pancyte.shapes import Cells

COMPONENTS = 50
RIDGE = 1e-3
FITTED = 100_000
"""Cells that components are fitted on; of more, a random part."""


@dataclass(frozen=True)
class Projection:
    """Components of log-normalised expression, with the genes they are made of.

    Attributes
    ----------
    genes
        All genes of the reference, with whatever other names they go by.
    share
        Mean share of a cell's counts that each of them has, (genes,).
    chosen
        Rows of those that the components are made of, (chosen,).
    mean
        Of each chosen gene in the reference, (chosen,).
    components
        (width, chosen), orthonormal rows.
    """

    genes: pd.DataFrame
    share: np.ndarray
    chosen: np.ndarray
    mean: np.ndarray
    components: np.ndarray

    name = "pca"

    @property
    def width(self) -> int:
        """Number of components."""
        return len(self.components)

    @classmethod
    def fit(cls, cells: Cells, *, seed: int = 0) -> Projection:
        """Fit 50 components to the 2,000 most variable genes of the reference."""
        from sklearn.decomposition import PCA

        rows = np.arange(len(cells))
        if len(rows) > FITTED:
            rows = np.sort(np.random.default_rng(seed).choice(rows, FITTED, replace=False))
        counts, totals = cells.counts[rows], _totals(cells.counts[rows])
        share = np.asarray(counts.multiply(1 / np.maximum(totals, 1)[:, None]).mean(axis=0)).ravel()
        logged = log_normalised(counts, totals)
        chosen = variable(logged, GENES)
        X = logged[:, chosen]
        rank = min(COMPONENTS, min(X.shape) - 1)
        if rank < 1:
            raise InputError(
                f"{cells.name} has {X.shape[0]} cells and {X.shape[1]} genes for components.",
                fix="Give at least two cells and two genes.",
            )
        fitted = PCA(rank, svd_solver="arpack", random_state=seed).fit(X)
        share, mean, components = (
            np.asarray(part, np.float32) for part in (share, fitted.mean_, fitted.components_)
        )
        return cls(cells.features.copy(), share, chosen, mean, components)

    def embed(self, cells: Cells) -> np.ndarray:
        """Place cells, (cells, width) float32; genes that were not measured are not taken as 0.

        With all genes this is the projection; otherwise the coordinates that fit the genes
        measured best, by least squares with a little ridge, and a cell's total is taken to be
        what its measured genes have over the share that they have in the reference.

        Raises
        ------
        InputError
            If less than a fifth of the chosen genes were measured.
        """
        found = match(cells.features, self.genes)
        measured = np.isin(np.arange(found.size), found.columns)
        known = measured[self.chosen]
        if known.mean() < REFUSE_BELOW:
            raise InputError(
                f"{cells.name} has {known.sum()} of the {len(known)} genes of the reference's "
                f"components, e.g. {self.genes.index[0]!r} against {cells.features.index[0]!r}.",
                fix="Check the species, and that genes are named by symbol or Ensembl id.",
            )
        counts = found.project(cells.counts)
        totals = _totals(counts) / max(float(self.share[measured].sum()), 1e-6)
        X = log_normalised(csr_matrix(counts[:, self.chosen[known]]), totals)
        W = self.components[:, known].astype(np.float64)
        projected = np.asarray(X @ W.T) - self.mean[known] @ W.T
        if known.all():
            return projected.astype(np.float32)
        return np.linalg.solve(W @ W.T + RIDGE * np.eye(len(W)), projected.T).T.astype(np.float32)

    def fingerprint(self) -> str:
        """Hash of all that determines where a cell is placed."""
        found = hashlib.sha256("\n".join(map(str, self.genes.index)).encode())
        for part in (self.share, self.chosen, self.mean, self.components):
            found.update(np.ascontiguousarray(part).tobytes())
        return found.hexdigest()


def _totals(counts: csr_matrix) -> np.ndarray:
    return np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
