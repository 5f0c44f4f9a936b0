from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csc_matrix, csr_matrix

from pancyte.corpus.values import recognise
from tests.corpus.accidents import imputed, log_normalised


def _linear(small, target):
    values = log_normalised(small, target).X
    values.data = np.expm1(values.data)
    return values


@pytest.mark.parametrize("form", [csr_matrix, csc_matrix, csr_matrix.toarray])
@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.float64])
def test_counts_in_any_form(small, form, dtype):
    assert recognise(form(small.X.astype(dtype))).kind == "counts"


@pytest.mark.parametrize("target", [1e3, 1e4, 1e6])
def test_the_target_sum_of_logged_values(small, target):
    found = recognise(log_normalised(small, target).X)
    assert found.kind == "log1p"
    assert found.target_sum == pytest.approx(target, rel=1e-3)


def test_logged_values_of_some_genes_only(small):
    found = recognise(log_normalised(small).X[:, 200:800])
    assert (found.kind, found.target_sum) == ("log1p", None)


def test_other_logarithms(small):
    values = _linear(small, 1e4)
    values.data = np.log2(1 + values.data)
    assert recognise(values).words == "log2(1 + x)-normalised to 10,000 per cell"


def test_normalised_but_not_logged(small):
    found = recognise(_linear(small, 1e6))
    assert found.kind == "normalised"
    assert found.target_sum == pytest.approx(1e6, rel=1e-3)


def test_scaled(small):
    dense = log_normalised(small).X.toarray()
    found = recognise((dense - dense.mean(0)) / dense.std(0))
    assert found.kind == "scaled"
    assert "negative values" in found.words


def test_ambient_corrected_counts(small):
    rng = np.random.default_rng(0)
    values = small.X.astype(np.float64)
    values.data *= rng.uniform(0.7, 1, values.nnz)
    assert recognise(values).kind == "float counts"


def test_imputed(small):
    # each cell averaged with others, as imputation does
    dense = small.X.toarray().astype(np.float64)[:, :300]
    smooth = np.stack([np.roll(dense, 5 * shift, axis=0) for shift in range(40)]).mean(axis=0)
    smooth *= np.linspace(0.5, 2, smooth.size).reshape(smooth.shape)
    assert recognise(smooth).kind == "imputed"


def test_imputed_and_logged(small):
    smooth = imputed(small[:, :300].copy()).X
    smooth *= np.linspace(0.5, 2, smooth.size).reshape(smooth.shape)
    assert recognise(np.log1p(smooth)).kind == "imputed"


def test_only_zeros(small):
    assert recognise(small.X * 0).kind == "empty"
    assert recognise(np.zeros((3, 4))).kind == "empty"


@pytest.mark.parametrize("form", [csr_matrix, csc_matrix, csr_matrix.toarray])
def test_the_first_missing_value(small, form):
    values = small.X.astype(np.float32).toarray()
    values[7, 40], values[9, 3], values[7, 90] = np.nan, np.inf, np.nan
    found = recognise(form(csr_matrix(values)))
    assert found.kind == "not finite"
    assert found.words == "3 NaN or infinite values"
    assert found.first == (7, 40)


def test_a_single_wrong_value_is_not_missed_by_sampling(pancreas):
    values = pancreas.X.astype(np.float32)
    values.data[-1] = -1
    assert recognise(values).kind == "scaled"
    values.data[-1] = np.nan
    assert recognise(values).kind == "not finite"
