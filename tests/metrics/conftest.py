"""Real cells for metrics: principal components of the shipped pancreas studies."""

import numpy as np
import pytest
from sklearn.decomposition import PCA


@pytest.fixture(scope="session")
def pancreas_components(pancreas) -> dict[str, np.ndarray]:
    adata = pancreas[np.random.default_rng(0).choice(pancreas.n_obs, 900, replace=False)]
    counts = adata.X.toarray()
    scaled = np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)
    variable = scaled[:, np.argsort(scaled.var(axis=0))[-500:]]
    return {
        "embedding": PCA(20, svd_solver="full").fit_transform(variable),
        "labels": adata.obs["cell_type"].astype(str).to_numpy(),
        "batches": adata.obs["study"].astype(str).to_numpy(),
    }
