"""Known answers, scikit-learn as the second opinion, and what must not matter."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from pancyte.errors import InputError
from pancyte.metrics.classification import accuracy, ece, macro_f1

METRICS = [accuracy, macro_f1, ece]


@pytest.fixture
def answer() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    classes = np.array(["alpha", "beta", "delta", "gamma", "never true"])
    truth = rng.choice(classes[:4], 400, p=[0.6, 0.25, 0.1, 0.05])
    probabilities = rng.dirichlet(np.full(5, 0.4), 400)
    probabilities[np.arange(400), np.searchsorted(classes, truth)] += 0.5
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return {
        "y_true": truth,
        "y_pred": classes[probabilities.argmax(axis=1)],
        "probabilities": probabilities,
    }


def plain_ece(answer: dict[str, np.ndarray]) -> float:
    confidence = answer["probabilities"].max(axis=1)
    right = answer["y_true"] == answer["y_pred"]
    total = 0.0
    for low in np.arange(15) / 15:
        inside = (confidence > low) & (confidence <= low + 1 / 15)
        if inside.any():
            total += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
    return total


def test_scores_agree_with_independent_formulas(answer):
    truth, predicted = answer["y_true"], answer["y_pred"]
    assert accuracy(truth, predicted) == pytest.approx(accuracy_score(truth, predicted))
    expected = f1_score(truth, predicted, labels=np.unique(truth), average="macro", zero_division=0)
    assert macro_f1(truth, predicted) == pytest.approx(expected)
    assert "never true" in predicted
    assert ece(**answer) == pytest.approx(plain_ece(answer))


def test_perfect_and_worst_answers_reach_the_declared_range():
    truth = np.array(["a", "b", "b"])
    wrong = np.array(["b", "a", "a"])
    sure = np.eye(2)[[0, 1, 1]]
    for metric, good, bad in [
        (accuracy, accuracy(truth, truth), accuracy(truth, wrong)),
        (macro_f1, macro_f1(truth, truth), macro_f1(truth, wrong)),
        (ece, ece(truth, truth, sure), ece(truth, wrong, sure)),
    ]:
        assert (good, bad) == (metric.best, metric.worst)
        assert metric.source


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.name)
def test_order_of_cells_and_names_of_labels_do_not_matter(metric, answer):
    order = np.random.default_rng(0).permutation(400)
    shuffled = {name: array[order] for name, array in answer.items()}
    assert metric.score(shuffled) == pytest.approx(metric.score(answer), abs=1e-12)
    names = dict(zip(np.unique(answer["y_pred"]), ["z", "y", "x", "w", "v"], strict=True))
    renamed = answer | {
        key: np.array([names[label] for label in answer[key]]) for key in ("y_true", "y_pred")
    }
    assert metric.score(renamed) == pytest.approx(metric.score(answer), abs=1e-12)


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.name)
def test_resampled_scores_equal_scores_of_resampled_cells(metric, answer):
    rng = np.random.default_rng(1)
    rows = rng.integers(0, 400, (20, 400))
    rows[0] = np.flatnonzero(answer["y_true"] != "gamma")[rng.integers(0, 300, 400)]
    weights = np.stack([np.bincount(row, minlength=400) for row in rows]).astype(np.float32)
    fast = metric.resampled(answer, [weights[:7], weights[7:]])
    slow = [metric.score({k: a[row] for k, a in answer.items()}) for row in rows]
    np.testing.assert_allclose(fast, slow, rtol=1e-6)


def test_arrays_of_different_length_are_refused_with_their_lengths():
    with pytest.raises(InputError, match=r"'y_true': 2.*'y_pred': 3"):
        accuracy(np.array(["a", "b"]), np.array(["a", "b", "b"]))
    with pytest.raises(InputError, match="no cells"):
        macro_f1(np.array([]), np.array([]))
