"""Clusterings, silhouettes and mixing on real cells: known answers and what must not matter."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, silhouette_samples, silhouette_score

from pancyte.errors import InputError, UsageError
from pancyte.metrics.clustering import ari, asw_label, knn_purity, nmi
from pancyte.metrics.mixing import asw_batch, batch_mixing, total
from pancyte.metrics.neighbours import leiden, nearest_neighbours, with_neighbours

BIOLOGY = [knn_purity, ari, nmi, asw_label]
MIXING = [batch_mixing, asw_batch]


@pytest.fixture(scope="module")
def real(pancreas_components) -> dict[str, np.ndarray]:
    return pancreas_components


def renamed(values: np.ndarray) -> np.ndarray:
    _, codes = np.unique(values, return_inverse=True)
    return np.array([f"name {-code}" for code in codes])


@pytest.mark.parametrize("metric", [*BIOLOGY, *MIXING], ids=lambda m: m.name)
def test_order_of_cells_and_names_do_not_matter(metric, real):
    order = np.random.default_rng(0).permutation(len(real["labels"]))
    value = metric.score(real)
    assert metric.score({k: a[order] for k, a in real.items()}) == pytest.approx(value, abs=1e-9)
    other = real | {key: renamed(real[key]) for key in ("labels", "batches")}
    assert metric.score(other) == pytest.approx(value, abs=1e-12)
    assert 0 <= value <= 1


@pytest.mark.parametrize("metric", [*BIOLOGY, *MIXING], ids=lambda m: m.name)
def test_rotation_and_shift_of_the_embedding_do_not_matter(metric, real):
    rng = np.random.default_rng(1)
    turn, _ = np.linalg.qr(rng.normal(size=(real["embedding"].shape[1],) * 2))
    moved = real | {"embedding": real["embedding"] @ turn + 7}
    close = 0.05 if metric in (ari, nmi) else 1e-6
    assert metric.score(moved) == pytest.approx(metric.score(real), abs=close)


def test_neighbours_are_the_nearest_and_never_the_cell_itself(real):
    Z = real["embedding"][:200]
    distances = np.linalg.norm(Z[:, None] - Z[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    found = nearest_neighbours(Z, k=5)
    np.testing.assert_array_equal(found, np.argsort(distances, axis=1)[:, :5])
    twins = np.vstack([Z[:10], Z[:10]])
    assert (nearest_neighbours(twins, k=3) != np.arange(20)[:, None]).all()


def test_shared_neighbours_and_clusters_give_the_same_scores(real):
    shared = with_neighbours(real)
    for metric in BIOLOGY:
        assert metric.score(shared) == metric.score(real)
    assert ari.score(shared) == adjusted_rand_score(real["labels"], shared["clusters"])


def test_leiden_finds_well_separated_groups_and_repeats_itself():
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(4), 50)
    Z = rng.normal(size=(200, 5)) + 40 * np.eye(5)[truth]
    assert adjusted_rand_score(truth, leiden(Z)) == 1
    np.testing.assert_array_equal(leiden(Z), leiden(Z))


def test_silhouettes_agree_with_scikit_learn(real):
    Z, labels, batches = real["embedding"], real["labels"], real["batches"]
    assert asw_label(Z, labels) == pytest.approx((silhouette_score(Z, labels) + 1) / 2)
    per_type = []
    for label in np.unique(labels):
        rows = labels == label
        if len(np.unique(batches[rows])) > 1 and rows.sum() > 2:
            per_type.append(1 - np.abs(silhouette_samples(Z[rows], batches[rows])).mean())
    assert asw_batch(Z, labels, batches) == pytest.approx(np.mean(per_type))


def test_separated_types_score_best_and_random_places_near_chance():
    rng = np.random.default_rng(0)
    labels = np.repeat(["a", "b", "c"], 100)
    apart = rng.normal(size=(300, 4)) + 50 * np.eye(4)[np.repeat([0, 1, 2], 100)]
    assert knn_purity(apart, labels) == 1
    assert ari(apart, labels) > 0.3
    assert asw_label(apart, labels) > 0.95
    noise = rng.normal(size=(300, 4))
    assert knn_purity(noise, labels) == pytest.approx(1 / 3, abs=0.05)
    assert ari(noise, labels) == pytest.approx(0, abs=0.03)
    assert asw_label(noise, labels) == pytest.approx(0.5, abs=0.03)


def test_mixing_is_one_at_random_and_zero_for_batches_apart():
    rng = np.random.default_rng(0)
    labels = np.repeat(["a", "b"], 400)
    batches = np.where(rng.random(800) < np.where(labels == "a", 0.8, 0.3), "x", "y")
    Z = rng.normal(size=(800, 5)) + 30 * (labels == "a")[:, None]
    assert batch_mixing(Z, labels, batches) == pytest.approx(1, abs=0.03)
    assert asw_batch(Z, labels, batches) > 0.95
    Z[batches == "x"] += 300
    assert batch_mixing(Z, labels, batches) == 0
    assert asw_batch(Z, labels, batches) < 0.1


def test_batches_with_other_cell_types_are_not_punished():
    rng = np.random.default_rng(0)
    labels = np.repeat(["a", "b", "only in x"], 300)
    batches = np.where(rng.random(900) < 0.5, "x", "y")
    batches[600:] = "x"
    Z = rng.normal(size=(900, 5)) + 50 * np.eye(5)[np.repeat([0, 1, 2], 300)]
    assert batch_mixing(Z, labels, batches) > 0.95


@pytest.mark.parametrize("jitter", [0.0, 1e-6], ids=["one point", "almost one point"])
def test_a_collapsed_embedding_mixes_perfectly_and_has_no_biology(jitter, real):
    order = np.argsort(real["batches"], kind="stable")
    by_batch = {key: array[order] for key, array in real.items()}
    Z = 1 + jitter * np.random.default_rng(0).normal(size=real["embedding"].shape)
    collapsed = by_batch | {"embedding": Z}
    chance = sum(np.unique(real["labels"], return_counts=True)[1] ** 2) / len(order) ** 2
    assert batch_mixing.score(collapsed) > 0.8
    assert batch_mixing.score(collapsed) > batch_mixing.score(real) + 0.2
    assert asw_batch.score(collapsed) > 0.95
    assert knn_purity.score(collapsed) < chance + 0.1 < knn_purity.score(real) - 0.3
    assert ari.score(collapsed) < 0.05
    assert asw_label.score(collapsed) < 0.55


def test_total_is_six_tenths_biology_and_four_tenths_mixing(real):
    scores = dict.fromkeys(("knn_purity", "ari", "nmi", "asw_label"), 0.5)
    given = real | {"scores": scores | {"batch_mixing": 1.0, "asw_batch": 0.5}}
    assert total.score(given) == pytest.approx(0.3 + 0.3)
    biology = np.mean([metric.score(real) for metric in BIOLOGY])
    mixing = np.mean([metric.score(real) for metric in MIXING])
    assert total.score(real) == pytest.approx(0.6 * biology + 0.4 * mixing)
    assert total.score(with_neighbours(real)) == total.score(real)
    with pytest.raises(UsageError, match="needs batches; it was given embedding, labels"):
        total.score({"embedding": real["embedding"], "labels": real["labels"]})


def test_nan_and_single_batches_are_refused_with_the_place(real):
    Z = real["embedding"].copy()
    Z[17, 2] = np.nan
    with pytest.raises(InputError, match=r"1 of \d+ cells.*row 17"):
        knn_purity(Z, real["labels"])
    one = np.full(len(Z), "x")
    with pytest.raises(InputError, match="No cell type occurs in two batches"):
        batch_mixing(real["embedding"], real["labels"], one)
    with pytest.raises(InputError, match="two to"):
        asw_label(real["embedding"], one)


def test_silhouette_above_ten_thousand_cells_uses_a_fixed_subset():
    rng = np.random.default_rng(0)
    labels = rng.choice(["a", "b"], 10_500)
    Z = rng.normal(size=(10_500, 3)) + 2 * (labels == "a")[:, None]
    order = rng.permutation(len(Z))
    value = asw_label(Z, labels)
    assert value == pytest.approx(asw_label(Z[order], labels[order]), abs=1e-12)
    sample = rng.choice(len(Z), 3000, replace=False)
    assert value == pytest.approx((silhouette_score(Z[sample], labels[sample]) + 1) / 2, abs=0.01)
