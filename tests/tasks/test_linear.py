"""The nearest profile, and how it sees through a laboratory that reads genes more or less often."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix, vstack

from pancyte.metrics.classification import macro_f1
from pancyte.tasks import linear
from pancyte.tasks.annotation import Annotation
from pancyte.tasks.expression import expression
from pancyte.tasks.linear import SHARPNESS, Centroid, L2Logistic, SelfTrained, ShiftedCentroid
from pancyte.tasks.stresses import Batch


@pytest.fixture(scope="module")
def split(dataset):
    return next(Annotation().splits(replace(dataset, held_out=("Tritschler 2022",)), [0]))


def labelled(method, split, query):
    return method.label(split.reference, query, label_key="cell_type", batch_key=None, seed=0)


def test_likeness_is_the_correlation_with_each_profile(split):
    known, asked = (
        part.toarray().astype(float) for part in expression(split.reference, split.query)
    )
    classes = np.unique(split.reference_labels)
    profiles = np.vstack([known[split.reference_labels == name].mean(axis=0) for name in classes])
    usual = profiles.mean(axis=0)
    across = np.eye(len(usual)) - np.outer(usual, usual) / (usual @ usual)
    profiles, centred = (profiles - usual) @ across, (asked - usual) @ across
    likeness = (centred @ profiles.T) / np.linalg.norm(centred, axis=1)[:, None]
    likeness /= np.linalg.norm(profiles, axis=1)
    expected = np.exp(SHARPNESS * likeness)
    found = labelled(Centroid(), split, split.query)
    np.testing.assert_array_equal(found.classes, classes)
    np.testing.assert_allclose(
        found.probabilities, expected / expected.sum(axis=1, keepdims=True), atol=2e-3
    )


def test_more_of_everything_in_a_cell_is_another_likeness_to_no_type():
    rng = np.random.default_rng(0)
    profiles, cells = rng.random((3, 40)), rng.random((5, 40))
    more = cells + rng.random((5, 1)) * profiles.mean(axis=0)
    found = [linear._resembling(csr_matrix(each), profiles) for each in (cells, more)]
    np.testing.assert_allclose(*found)


def test_a_shift_of_genes_is_seen_through(split):
    scores = []
    for seed in range(4):
        _, strange = Batch().strained(
            split.reference, split.query, 1.5, label_key="cell_type", seed=seed
        )
        answers = [labelled(method, split, strange) for method in (Centroid(), ShiftedCentroid())]
        for answer in answers:
            np.testing.assert_allclose(answer.probabilities.sum(axis=1), 1, atol=1e-5)
        scores.append([macro_f1(split.query_labels, answer.labels) for answer in answers])
    assert (np.diff(scores) > 0).all()
    assert np.diff(scores).mean() > 0.03


def test_what_a_laboratory_does_to_single_types_is_learned_from_the_query(split):
    each = [np.flatnonzero(split.query_labels == name) for name in np.unique(split.query_labels)]
    strained = [
        Batch().strained(
            split.reference, split.query.select(rows), 1.0, label_key="cell_type", seed=i
        )
        for i, rows in enumerate(each)
    ]
    counts = vstack([query.counts for _, query in strained], format="csr")
    strange = replace(split.query, counts=counts[np.argsort(np.concatenate(each))])
    scores = [
        macro_f1(split.query_labels, labelled(method, split, strange).labels)
        for method in (ShiftedCentroid(), L2Logistic(), SelfTrained())
    ]
    assert scores[2] > max(scores[:2]) + 0.02


def test_profiles_are_means_where_there_is_one_batch_and_free_of_batches_where_there_are_more():
    rng = np.random.default_rng(0)
    types, batches = np.repeat(["a", "a", "b", "c"], 50), np.repeat(["x", "y", "x", "y"], 50)
    true = dict(zip("abc", rng.normal(size=(3, 30)), strict=True))
    effects = dict(zip("xy", rng.normal(size=(2, 30)), strict=True))
    cells = csr_matrix([true[t] + effects[b] for t, b in zip(types, batches, strict=True)])
    classes, means = linear._profiles(cells, types)
    assert classes.tolist() == ["a", "b", "c"]
    np.testing.assert_allclose(means[0], true["a"] + (effects["x"] + effects["y"]) / 2)
    np.testing.assert_allclose(linear._profiles(cells, types, np.full(200, "x"))[1], means)
    _, profiles = linear._profiles(cells, types, batches)
    confounded, expected = means[1] - means[2], true["b"] - true["c"]
    left = np.abs(profiles[1] - profiles[2] - expected).mean()
    assert left < np.abs(confounded - expected).mean() / 1.7


@pytest.mark.parametrize("method", [ShiftedCentroid(), SelfTrained()], ids=lambda m: m.name)
def test_a_reference_of_two_laboratories_with_one_type_in_common(method, split):
    first, *_ = names = np.unique(split.reference_labels)
    there = np.isin(split.reference_labels, names[::2])
    there[np.flatnonzero(split.reference_labels == first)[1::2]] = False
    order = np.argsort(np.concatenate([np.flatnonzero(~there), np.flatnonzero(there)]))
    known = replace(
        split.reference,
        obs=split.reference.obs.assign(laboratory=np.where(there, "there", "here")),
    )
    scores = []
    for seed in range(3):
        _, strange = Batch().strained(
            known, known.select(there), 1.0, label_key="cell_type", seed=seed
        )
        counts = vstack([known.select(~there).counts, strange.counts], format="csr")[order]
        options = {"label_key": "cell_type", "seed": seed}
        answers = [
            method.label(replace(known, counts=counts), split.query, batch_key=key, **options)
            for key in (None, "laboratory")
        ]
        scores.append([macro_f1(split.query_labels, answer.labels) for answer in answers])
    untold, told = np.mean(scores, axis=0)
    assert told > untold + 0.1


def accuracy_of_strange(split, rows):
    """Accuracy of self-training on cells of another laboratory, which is another one each time."""
    query, truth, found = split.query.select(rows), split.query_labels[rows], []
    for seed in range(5):
        _, strange = Batch().strained(query, query, 1.5, label_key="cell_type", seed=seed)
        found.append((labelled(SelfTrained(), split, strange).labels == truth).mean())
    return np.mean(found)


def test_types_that_weigh_alike_find_a_shift_that_a_wrong_mixture_hides(dataset, monkeypatch):
    """With one cell of each type to learn from, ridge is wrong about the composition."""
    found, mixed = [], []
    for study in ("Fasolino 2022", "Muraro 2016", "Tritschler 2022"):
        split = next(Annotation().splits(replace(dataset, held_out=(study,)), [0]))
        _, first = np.unique(split.reference_labels, return_index=True)
        few = replace(split, reference_rows=split.reference_rows[np.sort(first)])
        everyone = np.arange(len(split.query))
        found.append(accuracy_of_strange(few, everyone))
        with monkeypatch.context() as patched:
            patched.setattr(linear, "ROUNDS", 0)
            mixed.append(accuracy_of_strange(few, everyone))
    assert np.mean(found) > np.mean(mixed) + 0.1


def test_types_that_are_not_there_do_not_shift_a_query_of_one(split, monkeypatch):
    alone = np.flatnonzero(split.query_labels == "pancreatic D cell")
    found = accuracy_of_strange(split, alone)
    monkeypatch.setattr(linear, "MIXED", (1.0, 2.0))
    assert found > accuracy_of_strange(split, alone) + 0.03


@pytest.mark.parametrize("method", [ShiftedCentroid(), SelfTrained()], ids=lambda m: m.name)
def test_one_cell_and_an_empty_one_get_an_answer(method, split):
    empty = split.query.select(np.arange(3))
    counts = empty.counts.copy()
    counts.data[: counts.indptr[1]] = 0
    counts.eliminate_zeros()
    for query in (split.query.select(np.arange(1)), replace(empty, counts=counts)):
        assert np.isfinite(labelled(method, split, query).probabilities).all()


def test_of_each_label_the_surer_half_is_learned_from_and_never_too_many(monkeypatch):
    monkeypatch.setattr(linear, "MOST", 10)
    given = np.repeat([0, 1, 2], [100, 8, 2])
    confidence = np.random.default_rng(0).random(110)
    rows = linear._surest(confidence, given)
    for label, taken in ((0, 10), (1, 4), (2, 2)):
        assert (given[rows] == label).sum() == taken
    spread = np.sort(confidence[given == 0])[::-1][:50:5]
    np.testing.assert_allclose(np.sort(confidence[rows[given[rows] == 0]])[::-1], spread)
