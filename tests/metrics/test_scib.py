"""scIB's scores against scib-metrics' values, plain second implementations and known answers."""

import numpy as np
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.metrics import pairwise_distances, silhouette_samples

from pancyte.errors import InputError
from pancyte.metrics import draws
from pancyte.metrics.connectivity import connectivities, graph_connectivity
from pancyte.metrics.kbet import diffusion, kbet
from pancyte.metrics.kmeans import kmeans
from pancyte.metrics.lisi import clisi, effective_number, ilisi, neighbour_weights
from pancyte.metrics.scib import pcr_comparison, scib
from pancyte.metrics.silhouette import bras, isolated_labels
from pancyte.metrics.survey import Near, survey

# scib-metrics 0.5.10 (jax 0.10.2) on the fixture `real`, with the exact neighbours
RECORDED = {
    "isolated_labels": 0.72562,
    "leiden_nmi": 0.58184,
    "leiden_ari": 0.34574,
    "kmeans_nmi": 0.35747,
    "kmeans_ari": 0.18873,
    "silhouette_label": 0.46122,
    "clisi": 0.94103,
    "bras": 0.11455,
    "ilisi": 0.0,
    "kbet": 0.10632,
    "graph_connectivity": 0.52116,
    "pcr_comparison": 0.10203,
    "biology": 0.51452,
    "batch": 0.16881,
    "total": 0.37624,
}


@pytest.fixture(scope="module")
def real(pancreas_components) -> dict[str, np.ndarray]:
    return pancreas_components


@pytest.fixture(scope="module")
def before(pancreas) -> np.ndarray:
    adata = pancreas[np.random.default_rng(0).choice(pancreas.n_obs, 900, replace=False)]
    counts = adata.X.toarray()
    scaled = np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)
    variable = scaled[:, np.argsort(scaled.var(axis=0))[-200:]]
    return PCA(10, svd_solver="full").fit_transform(variable)


@pytest.fixture(scope="module")
def near(real) -> Near:
    return survey(real["embedding"]).near


def test_all_scores_are_those_of_scib_metrics(real, before):
    found = scib(**real, before=before, leiden=True)
    mine = found.biology | found.batch
    mine |= {"biology": found.biology_mean, "batch": found.batch_mean, "total": found.total}
    assert mine.keys() == RECORDED.keys()
    for name, value in RECORDED.items():
        assert mine[name] == pytest.approx(value, abs=1e-3), name


def test_the_survey_finds_the_nearest_cells_and_the_silhouettes(real):
    Z, labels = real["embedding"][:300], real["labels"][:300]
    lengths = pairwise_distances(Z)
    found = survey(Z, labels, k=20)
    np.testing.assert_allclose(found.near.distances, np.sort(lengths, axis=1)[:, :20], atol=1e-5)
    np.testing.assert_array_equal(found.near.indices[:, 0], np.arange(300))
    reached = np.take_along_axis(lengths, found.near.indices, axis=1)
    np.testing.assert_allclose(reached, found.near.distances, atol=1e-5)
    np.testing.assert_allclose(found.silhouettes(), silhouette_samples(Z, labels), atol=1e-6)


def test_random_numbers_are_those_of_jax():
    # jax 0.10.2: PRNGKey(0); split, bits, permutation
    assert draws.split((0, 0), 3) == [
        (1797259609, 2579123966),
        (928981903, 3453687069),
        (4146024105, 2718843009),
    ]
    assert draws.bits((0, 0), 3).tolist() == [4070199207, 4202968722, 1427181096]
    assert draws.permutation((0, 0), 7).tolist() == [0, 1, 5, 6, 4, 3, 2]


def test_a_sample_prefers_heavy_rows_and_never_takes_weightless_ones():
    weights = np.array([0, 1, 1, 8, 0], dtype=float)
    first = [draws.sample((0, seed), weights, 1)[0] for seed in range(300)]
    shares = np.bincount(first, minlength=5) / 300
    np.testing.assert_allclose(shares, weights / 10, atol=0.08)
    assert sorted(draws.sample((0, 1), weights, 3)) == [1, 2, 3]


def test_kmeans_ends_where_scikit_learn_stays(real):
    Z = real["embedding"]
    found = kmeans(Z, 6)
    centres = np.stack([Z[found == c].mean(axis=0) for c in range(6)])
    again = KMeans(6, init=centres, n_init=1, tol=0).fit(Z.astype(np.float64))
    assert (again.labels_ == found).mean() > 0.999


def plain_perplexity(lengths: np.ndarray, target: float) -> np.ndarray:
    low, high = 1e-6, 1e3
    for _ in range(200):
        middle = np.sqrt(low * high)
        weights = np.exp(-lengths * middle)
        weights /= weights.sum()
        entropy = -(weights * np.log(weights + 1e-300)).sum()
        low, high = (middle, high) if entropy > target else (low, middle)
    return weights


def test_neighbour_weights_and_lisi_agree_with_a_plain_loop(real, near):
    weights = neighbour_weights(near)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    codes = np.unique(real["labels"], return_inverse=True)[1]
    numbers = effective_number(near, codes)
    for row in range(0, 900, 150):
        plain = plain_perplexity(near.distances[row, 1:], np.log(30))
        np.testing.assert_allclose(weights[row, 1:], plain, atol=1e-5)
        shares = [plain[codes[near.indices[row, 1:]] == c].sum() for c in np.unique(codes)]
        assert numbers[row] == pytest.approx(1 / np.square(shares).sum(), abs=1e-3)


def test_connectivities_add_up_as_umap_asks(near):
    first = near.first(15)
    graph = connectivities(first).toarray()
    np.testing.assert_array_equal(graph, graph.T)
    assert 0 <= graph.min() < graph.max() <= 1
    nearest = first.distances[:, 1]
    # a cell is joined fully to its nearest one
    np.testing.assert_allclose(graph[np.arange(900), first.indices[:, 1]], 1, atol=1e-6)
    linked = np.zeros((900, 900), bool)
    linked[np.arange(900)[:, None], first.indices[:, 1:]] = True
    np.testing.assert_array_equal(graph > 0, linked | linked.T)
    assert (nearest > 0).all()


def test_graph_connectivity_counts_the_largest_part(real, near):
    k, labels = near.first(15).indices, real["labels"]
    rows = np.repeat(np.arange(900), 15)
    inside = labels[rows] == labels[k.ravel()]
    graph = coo_matrix((np.ones(inside.sum()), (rows[inside], k.ravel()[inside])), (900, 900))
    parts = connected_components(graph, connection="strong")[1]
    expected = [
        np.bincount(parts[labels == name]).max() / (labels == name).sum()
        for name in np.unique(labels)
    ]
    assert graph_connectivity(real["embedding"], labels) == pytest.approx(np.mean(expected))


def test_bras_agrees_with_all_pairs_of_cosine_distances(real):
    Z, labels, batches = (real[key] for key in ("embedding", "labels", "batches"))
    scores = []
    for name in np.unique(labels):
        rows = np.flatnonzero(labels == name)
        lengths, where = pairwise_distances(Z[rows], metric="cosine"), batches[rows]
        if len(np.unique(where)) < 2:
            continue
        widths = []
        for i, batch in enumerate(where):
            own = where == batch
            if own.sum() < 2:
                widths.append(0.0)
                continue
            a = lengths[i, own].sum() / (own.sum() - 1)
            b = lengths[i, ~own].mean()
            widths.append(abs(b - a) / max(a, b))
        scores.append(1 - np.mean(widths))
    assert bras(Z, labels, batches) == pytest.approx(np.mean(scores), abs=1e-6)


def test_pcr_is_the_regression_of_every_component(real, before):
    def share(Z: np.ndarray) -> float:
        one_hot = real["batches"][:, None] == np.unique(real["batches"])
        scores = PCA(svd_solver="full").fit_transform(Z)
        fits = [LinearRegression().fit(one_hot, c).score(one_hot, c) for c in scores.T]
        return np.average(fits, weights=scores.var(axis=0))

    first, second = share(before), share(real["embedding"])
    expected = max(0.0, (first - second) / first)
    found = pcr_comparison(before, real["embedding"], real["batches"])
    assert found == pytest.approx(expected, abs=1e-9)
    assert pcr_comparison(before, before, real["batches"]) == 0


def test_isolated_types_are_those_of_the_fewest_batches(real):
    Z, labels, batches = (real[key] for key in ("embedding", "labels", "batches"))
    count = {name: len(np.unique(batches[labels == name])) for name in np.unique(labels)}
    fewest = [name for name in count if count[name] == min(count.values())]
    assert 0 < len(fewest) < len(count)
    widths = silhouette_samples(Z, labels)
    expected = np.mean([(widths[labels == name].mean() + 1) / 2 for name in fewest])
    assert isolated_labels(Z, labels, batches) == pytest.approx(expected, abs=1e-6)


def test_mixed_batches_score_high_and_separate_ones_low(real):
    Z, labels = real["embedding"], real["labels"]
    rng = np.random.default_rng(0)
    batches = rng.choice(["a", "b"], len(Z))
    apart = Z + 100 * (batches == "a")[:, None]
    for metric, arrays in [
        (ilisi, (batches,)),
        (kbet, (labels, batches)),
        (bras, (labels, batches)),
    ]:
        assert metric(Z, *arrays) > metric(apart, *arrays) + 0.3, metric
    assert kbet(Z, labels, batches) > 0.85
    assert ilisi(apart, batches) == pytest.approx(0, abs=1e-9)


def test_labels_that_are_neighbourhoods_have_clisi_1_and_shuffled_ones_less(real):
    Z, labels = real["embedding"], real["labels"]
    shuffled = np.random.default_rng(0).permutation(labels)
    assert clisi(Z, labels) > 0.9 > 0.6 > clisi(Z, shuffled)


def test_diffusion_keeps_two_loosely_joined_groups_apart():
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1], 40)
    Z = rng.normal(size=(80, 2)) + 6 * truth[:, None]
    graph = connectivities(survey(Z, k=50).near)
    places = diffusion(graph, 10)
    lengths = pairwise_distances(places)
    inside = lengths[truth[:, None] == truth].mean()
    assert lengths[truth[:, None] != truth].mean() > 2 * inside


@pytest.mark.parametrize("column", ["labels", "batches"])
def test_a_single_type_or_batch_is_refused_with_the_numbers(real, column):
    with pytest.raises(InputError, match=r"1 (cell types|batches)"):
        scib(**real | {column: np.full(900, "one")})


def test_types_that_no_two_batches_share_are_refused(real):
    arrays = (real["embedding"], real["labels"], real["labels"])
    for metric in (bras, kbet):
        with pytest.raises(InputError, match="two batches"):
            metric(*arrays)
