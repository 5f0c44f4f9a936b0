"""What commonly happens to counts on the way, and a comparison of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
from anndata import AnnData


def log_normalised(adata: AnnData, target: float = 1e4) -> AnnData:
    """The same cells, each scaled to `target` and logged, as scanpy's recipe does."""
    result = adata.copy()
    totals = np.asarray(result.X.sum(axis=1)).ravel()
    result.X = result.X.astype(np.float32).multiply((target / totals)[:, None]).tocsr()
    result.X.data = np.log1p(result.X.data)
    return result


def same_counts(left: Any, right: Any) -> bool:
    return (left != right).nnz == 0
