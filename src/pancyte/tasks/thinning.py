"""Binomial thinning: the same cells as two independent experiments, each with some of the reads."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from pancyte.errors import UsageError


def thin(
    counts: csr_matrix, share: float, rng: np.random.Generator
) -> tuple[csr_matrix, csr_matrix]:
    """Deal out every read of every cell: with probability `share` to the first part.

    If a gene's counts are Poisson around what the cell holds, the two parts are independent given
    that, and what one suggests the other can test (Batson, Royer & Webber 2019, *Molecular
    cross-validation*; Neufeld et al. 2024, Biostatistics 25:270, *count splitting*).

    Parameters
    ----------
    counts
        Whole numbers, (cells, genes).
    share
        Between 0 and 1, both excluded.
    rng
        Source of chance.

    Returns
    -------
    first, second
        Two matrices that add up to `counts`; float32, without stored zeros.

    Raises
    ------
    UsageError
        If the share is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise UsageError(f"The share of reads is {share}.", fix="Give one between 0 and 1.")
    whole = np.rint(counts.data).astype(np.int64)
    kept = rng.binomial(whole, share)
    return _with_data(counts, kept), _with_data(counts, whole - kept)


def _with_data(counts: csr_matrix, reads: np.ndarray) -> csr_matrix:
    places = counts.indices.copy(), counts.indptr.copy()
    part = csr_matrix((reads.astype(np.float32), *places), counts.shape)
    part.eliminate_zeros()
    return part
