"""The numbers behind the figures, against independent computations."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from sklearn.metrics import precision_score, recall_score

from pancyte.errors import InputError
from pancyte.report import Calibration, Comparison, Confusion, Training
from pancyte.report.charts import Axis, thinned
from pancyte.report.views import (
    calibration_view,
    comparison_view,
    confusion_view,
    title_of,
    training_view,
)


@pytest.fixture(scope="session")
def compared(results):
    return comparison_view(Comparison(results))["groups"][0]


def card(compared, metric):
    return next(card for card in compared["cards"] if card["metric"] == metric)


@pytest.mark.parametrize(
    ("axis", "labels"),
    [
        (Axis(0, 1, 0, 100), ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        (Axis(0.71, 0.93, 0, 100), ["0.75", "0.8", "0.85", "0.9"]),
        (Axis(0, 12000, 0, 100), ["0", "2,000", "4,000", "6,000", "8,000", "10,000", "12,000"]),
        (Axis(-0.3, 0.3, 0, 100), ["-0.3", "-0.2", "-0.1", "0", "0.1", "0.2", "0.3"]),
        (Axis(1, 5000, 0, 100, log=True), ["1", "10", "100", "1,000"]),
    ],
)
def test_ticks_are_round(axis, labels):
    assert [label for _, label in axis.ticks()] == labels


def test_axis_places_its_ends_and_equal_ratios_when_logarithmic():
    upright = Axis(0, 4, 250, 10)
    assert (upright.at(0), upright.at(2), upright.at(4)) == (250, 130, 10)
    log = Axis(1, 100, 0, 100, log=True)
    assert log.at(10) == pytest.approx(50)
    assert Axis(3, 3, 0, 100).at(3) == 50


@pytest.mark.parametrize("log_x", [False, True])
def test_thinning_keeps_the_mean_and_the_first_step_of_a_logarithmic_axis(log, log_x):
    curve = log.set_index("step")["loss"].dropna()
    thin = thinned(curve, 40, log_x=log_x)
    assert len(thin) <= 40
    assert curve.min() <= thin.min() <= thin.max() <= curve.max()
    if log_x:
        assert thin.iloc[0] == curve.iloc[0]
    assert thinned(curve, len(curve), log_x=log_x) is curve


def test_recall_and_precision_are_those_of_scikit_learn(cells, predicted):
    truth, answer = cells.label[cells.query], predicted.label[cells.query].astype(str)
    view = confusion_view(Confusion.from_labels("c", truth, answer))
    names = [row["name"] for row in view["rows"]]
    settings = {"labels": names, "average": None, "zero_division": np.nan}
    recall = recall_score(truth, answer, **settings)
    precision = precision_score(truth, answer, **settings)
    assert [row["recall"] for row in view["rows"]] == pytest.approx(recall)
    shown = [np.nan if row["precision"] is None else row["precision"] for row in view["rows"]]
    assert shown == pytest.approx(precision, nan_ok=True)
    assert view["right"] == (truth == answer).sum()
    assert view["total"] == len(truth)


def test_heat_map_has_a_tile_for_every_pair_and_shares_of_rows_add_up_to_one(cells, predicted):
    confusion = Confusion.from_labels(
        "c", cells.label[cells.query], predicted.label[cells.query].astype(str)
    )
    tiles = confusion_view(confusion)["map"].tiles
    assert len(tiles) == confusion.counts.size
    rows = pd.Series([tile.share for tile in tiles]).groupby([tile.y for tile in tiles]).sum()
    assert rows.to_numpy() == pytest.approx(np.ones(len(confusion.labels_true)))


def test_a_label_only_the_prediction_knows_becomes_a_column():
    confusion = Confusion.from_labels("c", ["a", "a", "b"], ["a", "z", "a"])
    assert list(confusion.labels_true) == ["a", "b"]
    assert list(confusion.labels_pred) == ["a", "z"]
    assert confusion.counts.tolist() == [[1, 1], [1, 0]]


def test_calibration_bins_hold_all_cells_and_add_up_to_the_error(cells, predicted):
    right = predicted.label[cells.query] == cells.label[cells.query]
    stated = predicted.confidence[cells.query]
    view = calibration_view(Calibration("c", stated, right))
    gaps = [row["cells"] * abs(row["stated"] - row["right"]) for row in view["rows"]]
    assert sum(row["cells"] for row in view["rows"]) == len(right)
    assert sum(gaps) / len(right) == pytest.approx(view["error"])
    for row in view["rows"]:
        hits = round(row["right"] * row["cells"])
        wilson = binomtest(hits, row["cells"]).proportion_ci(method="wilson")
        assert (row["low"], row["high"]) == pytest.approx((wilson.low, wilson.high), abs=1e-4)


def test_perfectly_kept_probabilities_have_no_error():
    stated = np.repeat([0.25, 0.75], 4)
    right = np.array([1, 0, 0, 0, 1, 1, 1, 0], dtype=bool)
    assert calibration_view(Calibration("c", stated, right))["error"] == 0


def test_cards_show_means_over_folds_and_seeds(results, compared):
    for metric, name in {"accuracy": "accuracy", "macro_f1": "macro F1", "ece": "ECE"}.items():
        means = results[results["metric"] == metric].groupby("method")["value"].mean()
        shown = {row["name"]: row["value"] for row in card(compared, name)["rows"]}
        assert shown == pytest.approx(means.to_dict())


def test_best_stands_first_whichever_way_the_metric_points(compared):
    accuracy, error = card(compared, "accuracy"), card(compared, "ECE")
    assert not accuracy["lower"]
    assert error["lower"]
    for shown, sign in ((accuracy, -1), (error, 1)):
        values = [sign * row["value"] for row in shown["rows"]]
        assert values == sorted(values)


def test_the_line_marks_the_best_baseline_and_folds_lie_on_the_axis(compared):
    for shown in compared["cards"]:
        (base,) = (row for row in shown["rows"] if row["baseline"])
        assert shown["line"] == pytest.approx(shown["axis"].at(base["value"]))
        assert [len(row["folds"]) for row in shown["rows"] if not row["baseline"]] == [2]


def test_a_far_worse_baseline_does_not_squeeze_the_others(results):
    good = results[results["method"] == "neighbours"]
    close = good.assign(method="rival", baseline=True, value=good["value"] - 0.01)
    view = comparison_view(Comparison(pd.concat([results, close])))
    rows = {row["name"]: row for row in card(view["groups"][0], "accuracy")["rows"]}
    assert rows["majority"]["beyond"] == "left"
    assert rows["neighbours"]["beyond"] == rows["rival"]["beyond"] == ""


def test_failed_runs_are_listed_and_not_averaged(results):
    failure = {"method": "broken", "adaptation": "", "metric": "", "value": None, "error": "no GPU"}
    broken = [row | failure for row in results.iloc[:2].to_dict("records")]
    view = comparison_view(Comparison(pd.DataFrame([*results.to_dict("records"), *broken])))
    (failed,) = view["failed"]
    assert (failed["name"], failed["failed"], failed["error"]) == ("broken", 2, "no GPU")
    assert all(row["name"] != "broken" for c in view["groups"][0]["cards"] for row in c["rows"])


def test_scores_without_intervals_show_their_range(results):
    bare = results.assign(low=np.nan, high=np.nan)
    shown = card(comparison_view(Comparison(bare))["groups"][0], "accuracy")["rows"]
    values = results[results["metric"] == "accuracy"].groupby("method")["value"]
    assert {row["name"]: (row["low"], row["high"]) for row in shown} == {
        name: (part.min(), part.max()) for name, part in values
    }


def test_training_draws_held_out_trivial_and_given_lines(log):
    view = training_view(Training("t", log, trivial={"uniform guess": 2.2}))
    styles = {line.name: line.style for line in view["charts"]["wide"].lines}
    assert styles == {
        "training": "training",
        "held out": "held-out",
        "trivial predictor": "trivial",
        "uniform guess": "trivial",
    }
    assert view["last"]["held out"] == log["held_out_label"].dropna().iloc[-1]
    assert view["listed"]["uniform guess"] == [(2, 2.2), (300, 2.2)]


def test_a_first_step_far_above_the_rest_is_cut_off_and_said(log):
    spoiled = log.copy()
    spoiled.loc[0, "loss"] = 500.0
    assert training_view(Training("t", log))["above"] is None
    assert training_view(Training("t", spoiled))["above"] > 100


def test_a_log_without_a_loss_is_refused(log):
    with pytest.raises(InputError, match="step"):
        training_view(Training("t", log[["step"]]))


@pytest.mark.parametrize(
    ("metric", "title"),
    [("macro_f1", "macro F1"), ("knn_purity", "kNN purity"), ("ece", "ECE"), ("total", "total")],
)
def test_metrics_are_written_as_in_prose(metric, title):
    assert title_of(metric) == title


@pytest.mark.parametrize(
    "given",
    [([], []), ([0.5], [True, False]), ([1.2], [True]), ([np.nan], [True])],
)
def test_calibration_refuses_what_is_no_probability(given):
    with pytest.raises(InputError):
        Calibration("c", *map(np.asarray, given))


def test_confusion_refuses_counts_of_another_shape():
    with pytest.raises(InputError, match=r"\(1, 2\)"):
        Confusion("c", ["a"], ["a"], np.ones((1, 2)))
