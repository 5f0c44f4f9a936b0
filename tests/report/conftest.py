"""Real annotations to report on: two pancreas studies labelled after two others."""

from itertools import product
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss
from sklearn.neighbors import KNeighborsClassifier

from pancyte.metrics.classification import accuracy, ece, macro_f1
from pancyte.report import (
    Calibration,
    Colouring,
    Comparison,
    Confusion,
    Provenance,
    Report,
    Scatter,
    Training,
)

ASKED = ("Muraro 2016", "Tritschler 2022")


@pytest.fixture(scope="session")
def cells(pancreas) -> SimpleNamespace:
    """Principal components fitted on the reference studies, and what is known of each cell."""
    study = pancreas.obs["study"].to_numpy().astype(str)
    query = np.isin(study, ASKED)
    counts = pancreas.X.astype(np.float64)
    scale = 1e4 / np.asarray(counts.sum(axis=1)).ravel()
    abundant = np.argsort(-counts.getnnz(axis=0), kind="stable")[:800]
    logged = np.log1p(counts[:, abundant].toarray() * scale[:, None])
    components = PCA(20, svd_solver="full").fit(logged[~query]).transform(logged)
    return SimpleNamespace(
        names=[str(name) for name in pancreas.obs_names],
        components=components,
        label=pancreas.obs["cell_type"].to_numpy().astype(str),
        study=study,
        query=query,
    )


@pytest.fixture(scope="session")
def predicted(cells) -> SimpleNamespace:
    """Labels of the query cells by their neighbours among the reference cells."""
    knn = KNeighborsClassifier(15).fit(cells.components[~cells.query], cells.label[~cells.query])
    chances = knn.predict_proba(cells.components[cells.query])
    label = np.full(len(cells.label), None, dtype=object)
    label[cells.query] = knn.classes_[chances.argmax(axis=1)]
    confidence = np.full(len(cells.label), np.nan)
    confidence[cells.query] = chances.max(axis=1)
    return SimpleNamespace(label=label, confidence=confidence)


@pytest.fixture(scope="session")
def scatter(cells, predicted) -> Scatter:
    return Scatter(
        "Pancreas",
        {"first": cells.components[:, :2], "second": cells.components[:, 2:4]},
        [
            Colouring("label", cells.label),
            Colouring("prediction", predicted.label, missing="reference"),
            Colouring("study", cells.study),
            Colouring("confidence", predicted.confidence, "continuous", limits=(0.0, 1.0)),
        ],
        cells=cells.names,
    )


METRICS = {
    "accuracy": lambda truth, answer, chances: accuracy(truth, answer),
    "macro_f1": lambda truth, answer, chances: macro_f1(truth, answer),
    "ece": ece,
}


@pytest.fixture(scope="session")
def results(cells) -> pd.DataFrame:
    """Two methods asked about two studies with two seeds, scored as the benchmark scores."""
    rows = []
    for study, seed in product(ASKED, range(2)):
        asked = cells.study == study
        rng = np.random.default_rng(seed)
        learned = rng.choice(np.flatnonzero(~cells.query), 1500, replace=False)
        for method in (KNeighborsClassifier(15), DummyClassifier()):
            method.fit(cells.components[learned], cells.label[learned])
            chances = method.predict_proba(cells.components[asked])
            given = (cells.label[asked], method.classes_[chances.argmax(axis=1)], chances)
            where = {"dataset": "pancreas", "task": "annotation", "split": study, "seed": seed}
            rows += [where | scored for scored in scores_of(method, given, rng)]
    return pd.DataFrame(rows)


def scores_of(method, given, rng):
    baseline = isinstance(method, DummyClassifier)
    cells = len(given[0])
    drawn = [rng.integers(0, cells, cells) for _ in range(40)]
    for metric, score in METRICS.items():
        replicates = [score(*(array[some] for array in given)) for some in drawn]
        low, high = np.quantile(replicates, [0.025, 0.975])
        yield {
            "method": "majority" if baseline else "neighbours",
            "adaptation": "direct",
            "metric": metric,
            "value": score(*given),
            "baseline": baseline,
            "low": low,
            "high": high,
            "seen": False,
            "seconds": 0.5,
            "error": "",
        }


@pytest.fixture(scope="session")
def log(cells) -> pd.DataFrame:
    """Losses of a linear classifier that learns by steps, in the layout of a training log."""
    classes, truth = np.unique(cells.label), cells.label[cells.query]
    asked, learned = cells.components[cells.query], np.flatnonzero(~cells.query)
    shares = np.array([(cells.label[learned] == name).mean() for name in classes])
    trivial = log_loss(truth, np.tile(shares, (len(truth), 1)), labels=classes)
    model = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=1e-3, random_state=0)
    rng, lines = np.random.default_rng(0), []
    for step in range(1, 301):
        rows = rng.choice(learned, 32)
        if step > 1:
            answer = model.predict_proba(cells.components[rows])
            lines.append(
                {"step": step, "loss": log_loss(cells.label[rows], answer, labels=classes)}
            )
        model.partial_fit(cells.components[rows], cells.label[rows], classes=classes)
        if step % 50 == 0:
            held_out = log_loss(truth, model.predict_proba(asked), labels=classes)
            lines.append({"step": step, "held_out_label": held_out, "trivial_label": trivial})
    return pd.DataFrame(lines)


@pytest.fixture(scope="session")
def report(cells, predicted, scatter, results, log) -> Report:
    truth, answer = cells.label[cells.query], predicted.label[cells.query]
    return Report(
        title="Two unseen pancreas studies",
        summary="Labels by neighbours.",
        verdicts=["baseline wins on macro_f1", "no difference shown on accuracy"],
        facts={"dataset": "pancreas", "cells": f"{len(truth):,}"},
        scatters=[scatter],
        confusions=[Confusion.from_labels("True and predicted", truth, answer)],
        calibrations=[
            Calibration("Kept?", predicted.confidence[cells.query], truth == answer),
        ],
        comparison=Comparison(results),
        training=[Training("Loss", log, trivial={"uniform guess": float(np.log(9))}, log_x=True)],
        provenance=Provenance(
            commands=["pancyte demo", "pancyte report --cells annotated.h5ad"],
            repeat=["pancyte annotate mine.h5ad"],
            versions={"numpy": np.__version__},
            hashes={"cells": "0" * 64},
            settings={"seed": "0"},
            found=["Counts in X; human; symbols."],
            warnings=["Only two studies were asked."],
        ),
    )
