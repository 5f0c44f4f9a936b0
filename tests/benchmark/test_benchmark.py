"""A whole benchmark on real studies: baselines always, failures as rows, the same table twice."""

import json
import mmap
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pancyte.benchmark.benchmark import benchmark
from pancyte.benchmark.entries import has_seen
from pancyte.benchmark.results import COLUMNS, VERDICT_COLUMNS, Results
from pancyte.benchmark.trial import Cost, measured
from pancyte.corpus.canonical import content_hash, fingerprints
from pancyte.errors import UsageError
from pancyte.metrics.classification import accuracy
from pancyte.models.card import Card
from pancyte.models.model import Model
from pancyte.tasks.annotation import Annotation
from pancyte.tasks.baselines import PCA
from pancyte.tasks.embedding import Embedding
from pancyte.tasks.task import LabelProbabilities
from pancyte.tokenizers.continuous import ContinuousTokenizer
from pancyte.tokenizers.tokenizer import TokenizerConfig

TIMES = ["seconds", "peak_memory"]
BASELINES = {
    "majority",
    "pca",
    "l1-logistic",
    "self-trained",
    "harmony",
    "random-weights(tiny)",
}


class Truth:
    """A method that knows the query's labels: what a perfect one would score."""

    name = "truth"

    def __init__(self, cells):
        self.labels = cells.obs["cell_type"].astype(str)

    def label(self, reference, query, *, label_key, batch_key, seed):
        classes = np.unique(self.labels)
        known = self.labels.loc[query.obs.index].to_numpy()
        return LabelProbabilities(classes, (known[:, None] == classes).astype(float))


class Collapse:
    """A method that puts every cell in one place."""

    name = "collapse"

    def embed(self, reference, *queries, batch_key, seed):
        rng = np.random.default_rng(seed)
        return tuple(rng.normal(size=(len(cells), 3)) * 1e-6 for cells in (reference, *queries))


class Moody:
    """A method that fails for one seed."""

    name = "moody"

    def embed(self, reference, *queries, batch_key, seed):
        if seed == 1:
            raise RuntimeError("not\ntoday")
        return PCA().embed(reference, *queries, batch_key=batch_key, seed=seed)


@pytest.fixture(scope="module")
def model(cells) -> Model:
    return Model.create(
        ContinuousTokenizer(TokenizerConfig(max_length=60)).fit(cells),
        backbone={"name": "transformer", "config": {"depth": 1, "width": 16}},
        objective={"name": "masked_value"},
        card=Card("tiny", species=["human"], trained_on=[{"name": "pancreas"}]),
    )


@pytest.fixture(scope="module")
def results(dataset, model) -> Results:
    held = replace(dataset, held_out=("Tritschler 2022",))
    return benchmark(
        [model, Truth(dataset.cells), Collapse(), Moody()],
        tasks=["annotation", "embedding"],
        datasets=[held],
        seeds=range(3),
    )


def test_every_baseline_stands_beside_and_a_model_brings_its_random_twin(results, dataset):
    table = results.table
    assert list(table.columns) == list(COLUMNS)
    own = table[table.task == "annotation"]
    assert set(own[own.baseline].method) == BASELINES
    assert set(table[(table.task == "embedding") & table.baseline].method) == (
        BASELINES - {"majority", "l1-logistic", "self-trained"}
    )
    assert set(own[own.method == "pca"].adaptation) == {"knn", "logistic"}
    assert set(own[own.method == "tiny"].metric) == {"accuracy", "macro_f1", "ece"}
    assert (own.groupby(["method", "adaptation", "metric"]).size() <= 3).all()
    assert set(table.revision) == {dataset.revision}
    assert set(table.version) != {""}
    assert (table.seconds > 0).all()
    assert (table.peak_memory > 50).all()


def test_intervals_hold_the_value_and_embedding_scores_have_none_of_their_own(results):
    table = results.table[results.table.error == ""]
    labelled = table[(table.task == "annotation") & (table.metric != "ece")]
    assert ((labelled.low <= labelled.value) & (labelled.value <= labelled.high)).all()
    assert table[table.task == "embedding"].low.isna().all()


def test_the_verdict_tells_truth_from_collapse(results):
    verdicts = results.comparisons
    assert list(verdicts.columns) == list(VERDICT_COLUMNS)
    said = verdicts.set_index(["task", "method", "adaptation", "metric"]).sort_index()
    truth = said.loc[("annotation", "truth", "direct", "accuracy")]
    assert truth.winner == "model"
    assert truth.model_value == 1
    assert truth.low > 0
    assert truth.sentence.startswith("model wins on accuracy: truth 1.000 vs ")
    lost = said.loc[("annotation", "collapse", "knn", "macro_f1")]
    assert lost.winner == "baseline"
    assert lost.high < 0
    blurred = said.loc[("embedding", "collapse", "zero-shot")]
    assert blurred.loc["batch_mixing"].winner == "model"
    assert blurred.loc["knn_purity"].winner == "baseline"
    headlines = verdicts[verdicts.headline].groupby("task").metric.unique()
    assert {task: list(metrics) for task, metrics in headlines.items()} == {
        "annotation": ["macro_f1"],
        "embedding": ["total"],
    }


def test_the_difference_is_that_of_the_means_against_the_best_baseline(results):
    table = results.table
    own = table[(table.task == "annotation") & (table.metric == "accuracy") & (table.error == "")]
    means = own.groupby(["baseline", "method", "adaptation"]).value.mean()
    keys = ["method", "adaptation", "metric", "task"]
    said = results.comparisons.set_index(keys).sort_index()
    row = said.loc[("tiny", "logistic", "accuracy", "annotation")]
    assert row.baseline_value == pytest.approx(means[True].max())
    assert row.difference == pytest.approx(means[False, "tiny", "logistic"] - means[True].max())
    errors = table[(table.metric == "ece")].groupby(["baseline", "method", "adaptation"])
    calibrated = said.loc[("truth", "direct", "ece", "annotation")]
    assert calibrated.baseline_value == pytest.approx(errors.value.mean()[True].min())
    assert calibrated.difference > 0


def test_a_failure_is_a_row_and_fails_the_whole_but_stops_nobody(results):
    assert results.failed
    rows = results.table[results.table.error != ""]
    assert set(rows.method) == {"moody"}
    assert set(rows.error) == {"RuntimeError: not today"}
    assert set(rows.seed) == {1}
    assert rows.value.isna().all()
    moody = results.table[(results.table.method == "moody") & (results.table.error == "")]
    assert set(moody.seed) == {0, 2}
    sentences = [v["sentence"] for v in results.verdicts if v["method"] == "moody"]
    assert sentences
    assert all(s.startswith("no verdict on ") for s in sentences)
    assert all(s.endswith("failed in 1 of 3 runs") for s in sentences)
    assert "RuntimeError: not today" in results.to_markdown()


def test_a_labelling_method_is_only_asked_what_it_can_do(results):
    assert set(results.table[results.table.method == "truth"].task) == {"annotation"}


def test_a_model_that_knows_the_dataset_by_name_is_marked(results):
    seen = results.table.groupby("method").seen.agg(set).to_dict()
    assert seen.pop("tiny") == {True}
    assert set.union(*seen.values()) == {False}
    assert "seen in pre-training" in results.to_markdown()


def test_seen_is_told_by_content_and_by_name_but_a_held_out_study_is_not_seen(dataset):
    held = replace(dataset, held_out=("Muraro 2016",))
    split = next(Annotation().splits(held, [0]))
    cells = dataset.cells
    rest = cells.select(np.setdiff1d(np.arange(len(cells)), split.query_rows))
    order = np.random.default_rng(0).permutation(len(cells))

    def seen(name, trained_cells):
        method = PCA()
        method.trained_on = [
            {"name": name, "content_hash": content_hash(fingerprints(trained_cells))}
        ]
        return has_seen(method, split)

    assert not has_seen(PCA(), split)
    assert seen("a renamed and shuffled copy", cells.select(order))
    assert seen("only the query", cells.select(split.query_rows))
    assert seen("pancreas", cells.select(np.arange(100)))
    assert not seen("pancreas", rest)
    assert not seen("another", cells.select(np.arange(100)))
    (whole,) = Embedding().splits(held, [0])
    method = PCA()
    method.trained_on = [{"name": "pancreas", "content_hash": content_hash(fingerprints(rest))}]
    assert has_seen(method, whole)


def test_the_same_benchmark_gives_the_same_table(dataset, model):
    def table() -> str:
        found = benchmark(
            [model],
            tasks=["annotation", "embedding"],
            datasets=[replace(dataset, held_out=("Muraro 2016",))],
            seeds=[4],
        )
        assert not found.failed
        return found.table.drop(columns=TIMES).to_csv() + str(found.verdicts)

    assert table() == table()


def test_files_say_what_the_table_says(results, tmp_path):
    written = results.to_json(tmp_path / "results.json")
    content = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert json.loads(written) == content
    assert content["failed"]
    again = Results.from_json(tmp_path / "results.json")
    pd.testing.assert_frame_equal(again.table, results.table, check_dtype=False)
    assert again.to_markdown() == results.to_markdown()
    results.to_csv(tmp_path / "scores.csv")
    read = pd.read_csv(tmp_path / "scores.csv", keep_default_na=False)
    assert list(read.method) == list(results.table.method)
    assert {path.name for path in tmp_path.iterdir()} == {"results.json", "scores.csv"}


def test_progress_counts_every_run(dataset):
    said = []
    benchmark(
        ["pca"],
        tasks=["embedding"],
        datasets=[dataset],
        seeds=[0, 1],
        progress=lambda *step: said.append(step),
    )
    assert [(done, total) for done, total, _ in said] == [(i, 4) for i in range(4)]
    assert said[0][2] == "pancreas, embedding, all cells, seed 0: pca"


def test_a_metric_that_cannot_be_computed_is_a_row_of_its_own(dataset):
    # the only cell of the second batch is of unknown type, so those that are scored have one batch
    obs = dataset.cells.obs.assign(study="all").astype({"cell_type": str})
    obs.iloc[0, obs.columns.get_indexer(["study", "cell_type"])] = ["other", "unknown"]
    one = replace(dataset, cells=replace(dataset.cells, obs=obs), unlabelled=("unknown",))
    results = benchmark([Collapse()], tasks=["embedding"], datasets=[one], seeds=[0])
    failed = results.table[results.table.error != ""]
    assert {"batch_mixing", "asw_batch", "total"} <= set(failed.metric)
    assert results.failed
    biology = results.table[(results.table.metric == "ari") & (results.table.error == "")]
    assert "pca" in set(biology.method)


def test_unknown_and_unfit_methods_are_refused_before_any_work(dataset, cells):
    with pytest.raises(UsageError, match=r"'pcaa'.*'pca'"):
        benchmark(["pcaa"], tasks=["annotation"], datasets=[dataset])
    with pytest.raises(UsageError, match="needs a model"):
        benchmark(["random-weights"], tasks=["annotation"], datasets=[dataset])
    with pytest.raises(UsageError, match="A int is no method"):
        benchmark([3], tasks=["annotation"], datasets=[dataset])
    with pytest.raises(UsageError, match="truth can do none of embedding"):
        benchmark([Truth(cells)], tasks=["embedding"], datasets=[dataset])
    with pytest.raises(UsageError, match="Two methods are called 'truth'"):
        benchmark([Truth(cells), Truth(cells)], tasks=["annotation"], datasets=[dataset])


def test_cost_is_that_of_the_block():
    small, large = Cost(), Cost()
    with measured(small):
        accuracy(np.ones(3), np.ones(3))
    # Pages of its own: an array could reuse what earlier tests have left resident on the heap.
    with measured(large), mmap.mmap(-1, 480 << 20) as pages:
        pages.write(bytes(480 << 20))
    assert small.seconds > 0
    assert large.peak_memory > small.peak_memory + 400
