"""What happens to stressed cells is what is said, and nothing happens to the others."""

from dataclasses import replace

import numpy as np
import pytest

from pancyte import registry
from pancyte.benchmark.benchmark import benchmark
from pancyte.tasks.baselines import PCA
from pancyte.tasks.stress import Stressed, told
from pancyte.tasks.stresses import Ambient, Batch, Depth, Dropout, LabelNoise, Panel

NAMES = registry.names("stresses")


@pytest.fixture(scope="module")
def pair(cells):
    studies = cells.obs["study"].astype(str).to_numpy()
    held = studies == studies[0]
    rng = np.random.default_rng(0)
    few = [np.sort(rng.permutation(np.flatnonzero(part))[:150]) for part in (~held, held)]
    return cells.select(few[0]), cells.select(few[1])


def strained(kind, pair, severity, seed=0):
    return kind().strained(*pair, severity, label_key="cell_type", seed=seed)


@pytest.mark.parametrize("name", NAMES)
def test_a_stress_repeats_and_leaves_what_it_was_given_alone(name, pair):
    kind = registry.get("stresses", name)
    assert kind.name == name
    assert list(kind.severities) == sorted(set(kind.severities))
    before = [(cells.counts.copy(), cells.obs.copy()) for cells in pair]
    first, again = (strained(kind, pair, kind.severities[-1]) for _ in range(2))
    for cells, (counts, obs) in zip(pair, before, strict=True):
        assert (cells.counts != counts).nnz == 0
        assert cells.obs.equals(obs)
    for one, other in zip(first, again, strict=True):
        assert (one.counts != other.counts).nnz == 0
        assert one.obs.equals(other.obs)
        assert (one.counts.data > 0).all()
        assert (one.counts.data == np.rint(one.counts.data)).all()
    changed = [
        one.counts.shape != cells.counts.shape
        or (one.counts != cells.counts).nnz > 0
        or not one.obs.equals(cells.obs)
        for one, cells in zip(first, pair, strict=True)
    ]
    assert changed == ([True, False] if name == "label_noise" else [False, True])


def test_reads_genes_and_labels_are_lost_as_often_as_said(pair):
    reads = pair[1].counts.sum()
    assert strained(Depth, pair, 0.9)[1].counts.sum() == pytest.approx(0.1 * reads, rel=0.02)
    values = pair[1].counts.nnz
    assert strained(Dropout, pair, 0.25)[1].counts.nnz == pytest.approx(0.75 * values, rel=0.02)
    wrong = strained(LabelNoise, pair, 0.4)[0].obs["cell_type"].astype(str)
    assert (wrong != pair[0].obs["cell_type"].astype(str)).mean() == pytest.approx(0.4, abs=0.1)
    assert set(wrong) <= set(pair[0].obs["cell_type"].astype(str))


def test_soup_keeps_depths_and_makes_cells_alike(pair):
    soup = strained(Ambient, pair, 0.5)[1].counts
    np.testing.assert_array_equal(soup.sum(axis=1), pair[1].counts.sum(axis=1))

    def spread(counts):
        share = counts.toarray() / counts.sum(axis=1)
        return np.asarray(share).std(axis=0).sum()

    assert spread(soup) < 0.75 * spread(pair[1].counts)


def test_a_panel_has_the_genes_that_vary_in_the_reference(pair):
    made = strained(Panel, pair, 0.98)[1]
    assert len(made.features) <= np.ceil(0.02 * len(pair[0].features)) + 1
    known = {"INS", "GCG", "SST", "TTR"}
    assert len(known & set(made.features.index)) >= 3


def test_another_laboratory_changes_genes_and_not_the_total(pair):
    made = strained(Batch, pair, 1.0)[1].counts
    assert made.sum() == pytest.approx(pair[1].counts.sum(), rel=0.02)
    before, after = (np.asarray(c.sum(axis=0)).ravel() for c in (pair[1].counts, made))
    often = before > 200
    logs = np.log(np.maximum(after[often], 1) / before[often])
    assert logs.std() == pytest.approx(1.0, abs=0.25)


def test_a_split_for_every_stress_and_severity(dataset):
    chosen = replace(dataset, held_out=("Muraro 2016",))
    folds = [split.fold for split in Stressed().splits(chosen, [0])]
    kinds = [registry.get("stresses", name) for name in NAMES]
    assert len(folds) == len(set(folds)) == 1 + sum(len(kind.severities) for kind in kinds)
    assert told(folds[0]) == ("Muraro 2016", "none", 0.0)
    assert ("Muraro 2016", "depth", 0.95) in map(told, folds)


def test_cells_of_a_strange_laboratory_are_labelled_worse_and_less_often(dataset, monkeypatch):
    chosen = replace(dataset, held_out=("Muraro 2016",))
    monkeypatch.setattr(registry, "names", lambda kind: ["batch"])
    monkeypatch.setattr(Batch, "severities", (2.0, 3.0))
    monkeypatch.setattr(Stressed, "baselines", lambda self, dataset: ("annotate",))
    results = benchmark([PCA()], tasks=[Stressed()], datasets=[chosen], seeds=[0])
    assert not results.failed, results.errors
    score = {
        (row.method, row.adaptation, told(row.split)[2], row.metric): row.value
        for row in results.table.itertuples()
    }
    pca = {key[2:]: value for key, value in score.items() if key[:2] == ("pca", "knn")}
    own = {key[2:]: value for key, value in score.items() if key[0] == "annotate"}
    for severity in (2.0, 3.0):
        assert pca[severity, "macro_f1"] < pca[0.0, "macro_f1"] - 0.05
        assert pca[severity, "answered"] == 1
        # fewer are answered, unless they are labelled as well as undamaged ones
        as_well = own[severity, "accuracy"] >= own[0.0, "accuracy"]
        assert as_well or own[severity, "answered"] < own[0.0, "answered"]
        assert own[severity, "accuracy_answered"] > 0.8
        assert own[severity, "accuracy"] > pca[severity, "accuracy"] + 0.2
    assert own[3.0, "answered"] < own[2.0, "answered"] - 0.05
