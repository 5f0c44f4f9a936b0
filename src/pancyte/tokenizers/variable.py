"""Which features vary most across a corpus."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix


def most_variable(normalised: csr_matrix, origin: np.ndarray, count: int) -> np.ndarray:
    """Choose highly variable genes within each dataset and combine the choices.

    Parameters
    ----------
    normalised
        Depth-normalised counts, (cells, features).
    origin
        Dataset of each cell, (cells,); a difference between datasets is no variability.
    count
        How many to choose.

    Returns
    -------
    Boolean mask, (features,). Dispersion by mean expression, as in Seurat (Satija et al., Nature
    Biotechnology 2015), computed by scanpy.
    """
    import warnings

    import scanpy as sc
    from anndata import AnnData

    logged = normalised.copy().astype(np.float32)
    logged.data = np.log1p(logged.data)
    rows = pd.RangeIndex(len(origin)).astype(str)
    columns = pd.RangeIndex(logged.shape[1]).astype(str)
    adata = AnnData(
        logged,
        obs=pd.DataFrame({"origin": pd.Categorical(origin.astype(str))}, index=rows),
        var=pd.DataFrame(index=columns),
    )
    several = len(np.unique(origin)) > 1
    with warnings.catch_warnings():
        # scanpy announces coming changes of its own and of pandas
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", UserWarning)
        chosen = sc.pp.highly_variable_genes(
            adata,
            n_top_genes=count,
            batch_key="origin" if several else None,
            inplace=False,
        )
    return chosen["highly_variable"].to_numpy()
