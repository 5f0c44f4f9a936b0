import numpy as np
import pytest
from scipy.sparse import csr_matrix

from pancyte.errors import UsageError
from pancyte.tasks.thinning import thin


def test_parts_add_up_and_hold_no_zeros(cells):
    first, second = thin(cells.counts, 0.3, np.random.default_rng(0))
    assert (first + second != cells.counts).nnz == 0
    assert (first.data > 0).all()
    assert (second.data > 0).all()
    assert abs(first.sum() / cells.counts.sum() - 0.3) < 0.01


def test_parts_of_poisson_counts_are_independent():
    rng = np.random.default_rng(0)
    counts = csr_matrix(rng.poisson(3.0, (20_000, 1)).astype(np.float32))
    first, second = (part.toarray().ravel() for part in thin(counts, 0.5, rng))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.03
    whole = counts.toarray().ravel()
    assert np.corrcoef(first, whole)[0, 1] > 0.6


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1])
def test_impossible_shares_are_refused(cells, share):
    with pytest.raises(UsageError, match="share of reads"):
        thin(cells.counts, share, np.random.default_rng(0))
