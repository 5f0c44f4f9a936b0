"""Probes on real embeddings: they learn, repeat themselves, and fit on the reference alone."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA

from pancyte.adaptation.probe import KNNProbe, LogisticProbe
from pancyte.errors import InputError

PROBES = [KNNProbe(), LogisticProbe()]


@pytest.fixture(scope="module")
def studies(pancreas) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    kept = np.arange(pancreas.n_obs) % 2 == 0
    adata = pancreas[kept | (pancreas.obs["study"] == "Muraro 2016")]
    counts = adata.X[:, :3000].toarray()
    scaled = np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)
    labels = adata.obs["cell_type"].astype(str).to_numpy()
    reference = (adata.obs["study"] != "Muraro 2016").to_numpy()
    pca = PCA(20, svd_solver="full").fit(scaled[reference])
    known = np.isin(labels, np.unique(labels[reference]))
    query = ~reference & known
    return (
        pca.transform(scaled[reference]),
        labels[reference],
        pca.transform(scaled[query]),
        labels[query],
    )


@pytest.mark.parametrize("probe", PROBES, ids=lambda p: type(p).__name__)
class TestBothProbes:
    def test_labels_another_study_far_better_than_chance(self, probe, studies):
        Z, y, Z_query, y_query = studies
        fitted = clone(probe).fit(Z, y)
        probabilities = fitted.predict_proba(Z_query)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1)
        np.testing.assert_array_equal(fitted.classes_, np.unique(y))
        commonest = np.unique(y_query, return_counts=True)[1].max() / len(y_query)
        assert fitted.score(Z_query, y_query) > commonest + 0.25

    def test_an_answer_does_not_depend_on_the_other_cells_asked_about(self, probe, studies):
        Z, y, Z_query, _ = studies
        fitted = clone(probe).fit(Z, y)
        alone = np.vstack([fitted.predict_proba(row[None]) for row in Z_query[:20]])
        np.testing.assert_allclose(alone, fitted.predict_proba(Z_query)[:20], atol=1e-9)

    def test_order_of_the_reference_does_not_matter(self, probe, studies):
        Z, y, Z_query, _ = studies
        order = np.random.default_rng(0).permutation(len(y))
        first = clone(probe).fit(Z, y).predict_proba(Z_query)
        second = clone(probe).fit(Z[order], y[order]).predict_proba(Z_query)
        np.testing.assert_allclose(first, second, atol=2e-3)

    def test_same_input_same_bytes(self, probe, studies):
        Z, y, Z_query, _ = studies
        first, second = (clone(probe).fit(Z, y).predict_proba(Z_query) for _ in range(2))
        assert first.tobytes() == second.tobytes()

    def test_refuses_nan_and_misaligned_labels(self, probe, studies):
        Z, y, _, _ = studies
        broken = Z.copy()
        broken[3, 0] = np.nan
        with pytest.raises(InputError, match=f"1 of {len(y)} reference cells"):
            clone(probe).fit(broken, y)
        with pytest.raises(InputError, match=f"does not fit {len(y) - 1} labels"):
            clone(probe).fit(Z, y[1:])


def test_knn_ignores_length_and_weighs_by_distance():
    angles = np.deg2rad([0, 10, 80, 90])
    Z = np.column_stack([np.cos(angles), np.sin(angles)]) * [[1], [9], [2], [5]]
    y = np.array(["z", "z", "a", "a"])
    probe = KNNProbe(k=4).fit(Z, y)
    towards = np.deg2rad([20, 70])
    query = np.column_stack([np.cos(towards), np.sin(towards)])
    np.testing.assert_array_equal(probe.predict(query), ["z", "a"])
    np.testing.assert_allclose(probe.predict_proba(query), probe.predict_proba(query * 50))
    chords = 2 * np.sin(np.abs(angles - towards[0]) / 2)
    votes = (1 / chords)[:2].sum() / (1 / chords).sum()
    assert probe.predict_proba(query)[0, 1] == pytest.approx(votes)


def test_knn_with_fewer_reference_cells_than_neighbours_asks_all():
    probe = KNNProbe(k=15).fit(np.eye(3), np.array(["a", "b", "b"]))
    assert probe.predict(np.array([[0.1, 1, 1]])) == ["b"]


def test_logistic_is_blind_to_scale_and_shift_of_a_dimension(studies):
    Z, y, Z_query, _ = studies
    rng = np.random.default_rng(0)
    scale, shift = rng.uniform(0.01, 100, Z.shape[1]), rng.normal(size=Z.shape[1])
    plain = LogisticProbe().fit(Z, y).predict_proba(Z_query)
    moved = LogisticProbe().fit(Z * scale + shift, y).predict_proba(Z_query * scale + shift)
    np.testing.assert_allclose(plain, moved, atol=2e-3)


def test_logistic_refuses_a_reference_of_one_type():
    with pytest.raises(InputError, match="All 4 reference cells are labelled 'a'"):
        LogisticProbe().fit(np.eye(4), np.array(["a"] * 4))
