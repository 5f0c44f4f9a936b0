"""Baselines on real studies: strong enough to be worth beating, and fitted on the reference."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn import decomposition

from pancyte.errors import InputError
from pancyte.metrics.classification import accuracy
from pancyte.metrics.mixing import batch_mixing
from pancyte.shapes import Cells
from pancyte.tasks.annotation import Annotation
from pancyte.tasks.baselines import PCA, Harmony, L1Logistic, Majority, batches_of
from pancyte.tasks.embedding import Embedding
from pancyte.tasks.expression import expression


@pytest.fixture(scope="module")
def split(dataset):
    return next(Annotation().splits(replace(dataset, held_out=("Tritschler 2022",)), [0]))


def perturbed(cells: Cells) -> Cells:
    rng = np.random.default_rng(9)
    counts = cells.counts.copy()
    counts.data = counts.data * rng.integers(1, 50, len(counts.data)).astype(np.float32)
    return replace(cells, counts=csr_matrix(counts[rng.permutation(len(cells))]))


def labelled(method, split, query):
    return method.label(split.reference, query, label_key="cell_type", batch_key=None, seed=0)


def test_query_cells_do_not_influence_what_pca_fits_on_the_reference(split):
    before, query = PCA().embed(split.reference, split.query, batch_key=None, seed=0)
    after, other = PCA().embed(split.reference, perturbed(split.query), batch_key=None, seed=0)
    np.testing.assert_array_equal(before, after)
    assert not np.allclose(query, other)
    alone = split.query.select(np.arange(5))
    _, few = PCA().embed(split.reference, alone, batch_key=None, seed=0)
    np.testing.assert_allclose(few, query[:5], atol=1e-4)


def test_query_cells_do_not_influence_each_others_labels(split):
    for method in (Majority(), L1Logistic()):
        whole = labelled(method, split, split.query)
        alone = labelled(method, split, split.query.select(np.arange(7)))
        np.testing.assert_allclose(alone.probabilities, whole.probabilities[:7], atol=1e-6)


def test_labels_and_batches_do_not_influence_pca(split):
    obs = split.reference.obs.assign(cell_type="x", study="y")
    blind = replace(split.reference, obs=obs)
    for first, second in zip(
        PCA().embed(split.reference, split.query, batch_key="study", seed=0),
        PCA().embed(blind, split.query, batch_key=None, seed=0),
        strict=True,
    ):
        np.testing.assert_array_equal(first, second)


def test_pca_is_that_of_scikit_learn_on_normalised_genes(split):
    counts = split.reference.counts.toarray()
    log = np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)
    reference, _ = expression(split.reference, split.query)
    assert reference.shape[1] == 2000
    columns = [tuple(column) for column in np.round(log.T, 3)]
    chosen = [tuple(column) for column in np.round(reference.toarray().T, 3)]
    assert set(chosen) <= set(columns)
    expected = decomposition.PCA(50, svd_solver="full").fit_transform(reference.toarray())
    got, _ = PCA().embed(split.reference, split.query, batch_key=None, seed=0)
    np.testing.assert_allclose(np.abs(got[:, :10]), np.abs(expected[:, :10]), atol=0.02)


def test_order_and_naming_of_the_querys_genes_do_not_matter(split):
    _, expected = PCA().embed(split.reference, split.query, batch_key=None, seed=0)
    order = np.random.default_rng(0).permutation(len(split.query.features))
    features = split.query.features.iloc[order]
    shuffled = replace(split.query, counts=split.query.counts[:, order], features=features)
    by_id = replace(shuffled, features=features.set_index("ensembl_id"))
    for query in (shuffled, by_id):
        _, got = PCA().embed(split.reference, query, batch_key=None, seed=0)
        np.testing.assert_allclose(got, expected, atol=1e-4)


def test_genes_the_query_lacks_are_left_out_not_filled_with_zeros(split):
    kept = np.arange(1500)
    features = split.query.features.iloc[kept]
    narrow = replace(split.query, counts=split.query.counts[:, kept], features=features)
    reference, query = expression(split.reference, narrow)
    assert reference.shape[1] == query.shape[1] <= 1500
    totals = np.asarray(narrow.counts.sum(axis=1)).ravel()
    genes = query.shape[1]
    rebuilt = np.expm1(query[:, :genes].toarray()) * totals[:, None] / 1e4
    assert np.allclose(rebuilt, np.round(rebuilt), atol=0.05)


def test_foreign_genes_are_refused_with_examples(split):
    features = split.query.features.iloc[:, :0].rename(lambda gene: f"mouse {gene}")
    with pytest.raises(InputError, match=r"share 0 genes.*'mouse "):
        PCA().embed(
            split.reference, replace(split.query, features=features), batch_key=None, seed=0
        )


def test_majority_gives_every_cell_the_references_frequencies(split):
    answer = labelled(Majority(), split, split.query)
    names, counts = np.unique(split.reference_labels, return_counts=True)
    np.testing.assert_array_equal(answer.classes, names)
    np.testing.assert_allclose(answer.probabilities[0], counts / counts.sum())
    assert set(answer.labels) == {names[counts.argmax()]}


@pytest.mark.parametrize("method", [PCA(), Harmony(), L1Logistic()], ids=lambda m: m.name)
def test_baselines_label_an_unseen_study_far_better_than_majority(method, split):
    task = Annotation()
    (floor,) = task.run(Majority(), split).values()
    for adaptation, arrays in task.run(method, split).items():
        assert accuracy.score(arrays) > accuracy.score(floor) + 0.25, adaptation
        np.testing.assert_array_equal(arrays["y_true"], floor["y_true"])


def test_harmony_mixes_studies_that_pca_keeps_apart(dataset):
    split = next(Embedding().splits(dataset, [0]))
    scores = [
        batch_mixing.score(Embedding().run(method, split)["zero-shot"])
        for method in (PCA(), Harmony())
    ]
    assert scores[1] > scores[0] + 0.1


def test_batches_are_the_columns_or_where_it_tells_nothing_the_parts(split):
    parts = (split.reference, split.query)
    sizes = [len(split.reference), len(split.query)]
    sides = np.repeat(["part 0", "part 1"], sizes)
    np.testing.assert_array_equal(batches_of(parts, None), sides)
    named = batches_of(parts, "study")
    assert set(named[: sizes[0]]) == {"Fasolino 2022", "Muraro 2016"}
    assert set(named[sizes[0] :]) == {"Tritschler 2022"}
    same = tuple(replace(cells, obs=cells.obs.assign(study="x")) for cells in parts)
    np.testing.assert_array_equal(batches_of(same, "study"), sides)
    with pytest.raises(InputError, match="single batch"):
        Harmony().embed(split.reference, batch_key=None, seed=0)


@pytest.mark.parametrize("method", [PCA(), Harmony()], ids=lambda m: m.name)
def test_same_input_and_seed_same_bytes(method, split):
    again = split.reference.select(np.arange(len(split.reference)))
    first = method.embed(split.reference, split.query, batch_key="study", seed=1)
    second = method.embed(again, split.query, batch_key="study", seed=1)
    assert [a.tobytes() for a in first] == [a.tobytes() for a in second]
