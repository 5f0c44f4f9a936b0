"""ComBat: each gene's mean and spread made alike in all batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pancyte.tasks.baselines import COMPONENTS, batches_of
from pancyte.tasks.expression import expression

if TYPE_CHECKING:
    from pancyte.shapes import Cells


class ComBat:
    """Principal components after ComBat (Johnson et al. 2007, Biostatistics 8:118), by scanpy.

    Log-normalised expression of 2,000 highly variable genes of the reference; genes that one
    batch does not vary in are left out. Transductive and without labels: it takes for granted
    that batches hold the same cell types.
    """

    name = "combat"

    def embed(
        self, reference: Cells, *queries: Cells, batch_key: str | None, seed: int
    ) -> tuple[np.ndarray, ...]:
        """Return (cells, at most 50) for the reference and for each query."""
        import pandas as pd
        import scanpy as sc
        from anndata import AnnData
        from scipy.sparse import vstack
        from sklearn.decomposition import PCA

        parts = (reference, *queries)
        batches = batches_of(parts, batch_key)
        X = vstack(expression(*parts), format="csr").toarray().astype(np.float64)
        spread = [X[batches == name].std(axis=0) for name in np.unique(batches)]
        X = X[:, np.min(spread, axis=0) > 0]
        names = pd.Index(np.arange(len(X)).astype(str))
        adata = AnnData(X, obs=pd.DataFrame({"batch": pd.Categorical(batches)}, index=names))
        sc.pp.combat(adata, key="batch")
        rank = min(COMPONENTS, min(adata.shape) - 1)
        Z = PCA(rank, svd_solver="arpack", random_state=seed).fit_transform(adata.X)
        return tuple(np.split(Z, np.cumsum([len(cells) for cells in parts])[:-1]))
