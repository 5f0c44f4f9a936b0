"""Cells are like those of their type, and a cell apart from all others like itself."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix, vstack
from scipy.sparse.csgraph import connected_components

from pancyte.corpus.cells import column, to_cells
from pancyte.deciding.likeness import alike, averaged


@pytest.fixture(scope="module")
def of_two_types():
    """Counts of 60 cells of each of two types, of one more of a third, and one without any."""
    rng = np.random.default_rng(0)
    rates = rng.gamma(0.5, 2.0, size=(3, 300))
    cells = [rng.poisson(rates[kind], size=(n, 300)) for kind, n in ((0, 60), (1, 60), (2, 1))]
    return csr_matrix(np.vstack([*cells, np.zeros((1, 300))]).astype(np.float32))


def test_cells_are_like_those_of_their_type(of_two_types):
    weights = alike(of_two_types).toarray()
    np.testing.assert_array_equal(np.diag(weights), 1)
    assert weights[:60, 60:].max() == 0
    assert weights[60:120, :60].max() == 0
    assert weights[:120].sum(axis=1).min() > 1.2
    # the only one of its type is closest to others, but these are far closer to each other
    assert weights[120].sum() < 1.02
    np.testing.assert_array_equal(weights[121], np.eye(122)[121])
    np.testing.assert_array_equal(weights[:, 121], np.eye(122)[121])


def test_likeness_by_hand(of_two_types):
    from sklearn.decomposition import PCA

    counts = of_two_types[:120]
    totals = np.asarray(counts.sum(axis=1))
    logged = np.log1p(counts.toarray() * (1e4 / totals))[:, counts.getnnz(axis=0) >= 3]
    Z = PCA(24, svd_solver="full").fit_transform(logged)
    away = np.sqrt(((Z[:, None] - Z[None]) ** 2).sum(axis=2))
    width = np.sort(away, axis=1)[:, 14]
    expected = np.exp(-2 * (away / np.minimum(width[:, None], width[None])) ** 2)
    expected[away > width[:, None] + 1e-9] = 0
    np.testing.assert_allclose(alike(counts).toarray(), expected, atol=1e-3)


def test_cells_that_cannot_be_told_apart_or_are_few_are_by_themselves(of_two_types):
    for counts in (of_two_types[:49], vstack([of_two_types[0]] * 60, format="csr")):
        np.testing.assert_array_equal(alike(counts).toarray(), np.eye(counts.shape[0]))


def test_averages_by_hand():
    near = csr_matrix([[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]])
    values = np.array([[3.0, 0.0], [0.0, 3.0], [1.0, 1.0]])
    np.testing.assert_allclose(averaged(values, near), [[2, 1], [1, 2], [1, 1]])
    np.testing.assert_allclose(averaged(values, near, 0.5), [[2.5, 0.5], [0.5, 2.5], [1, 1]])
    np.testing.assert_allclose(averaged(values[:, 0], near, 0.0), values[:, 0])


def test_most_cells_alike_have_the_same_label(pancreas):
    study = pancreas[(pancreas.obs["study"] == "Fasolino 2022").to_numpy()]
    cells = to_cells(study.copy())
    labels, near = column(cells, "cell_type"), alike(cells.counts).tocoo()
    others = near.row != near.col
    same = labels[near.row[others]] == labels[near.col[others]]
    assert np.average(same, weights=near.data[others]) > 0.8


def test_only_cells_measured_together_are_alike(of_two_types):
    counts = vstack([of_two_types, of_two_types], format="csr")
    groups = np.tile([1, 0], 122)
    together = alike(counts, groups).toarray()
    assert together[groups == 0][:, groups == 1].max() == 0
    for group in (0, 1):
        rows = groups == group
        np.testing.assert_array_equal(together[rows][:, rows], alike(counts[rows]).toarray())
    dealt = alike(counts, at_most=61, seed=1)
    assert (dealt.getnnz(axis=1) <= 15).all()
    blocks, sizes = np.unique(connected_components(dealt)[1], return_counts=True)
    assert sizes.max() <= 61
    assert len(blocks) > 3
    np.testing.assert_array_equal(alike(counts, at_most=49).toarray(), np.eye(244))
