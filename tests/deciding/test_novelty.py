"""Cells of a missing type look strange, those of known types do not, on real cells."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kstest
from sklearn.metrics import roc_auc_score

import pancyte as pan
from pancyte.corpus.cells import column, to_cells
from pancyte.deciding.likeness import alike
from pancyte.deciding.novelty import COMBINED, VIEWS, Strangeness, novelty_p_values


@pytest.fixture(scope="module")
def views(pancreas):
    """Strangeness of half of a study's cells, after the other half without its stellate cells."""
    study = pancreas[(pancreas.obs["study"] == "Fasolino 2022").to_numpy()]
    abundant = np.argsort(-study.X.getnnz(axis=0), kind="stable")[:4000]
    cells = to_cells(study[:, abundant].copy())
    labels, rows = column(cells, "cell_type"), np.arange(study.n_obs)
    known = rows[(rows % 2 == 0) & (labels != "pancreatic stellate cell")]
    asked = np.setdiff1d(rows, known)[1::2]
    fitted = Strangeness(cells.select(known), cells.select(asked))
    return fitted.fit(labels[known]).scores(), labels[asked], fitted


def test_a_missing_type_is_stranger(views):
    scores, labels, _ = views
    missing = labels == "pancreatic stellate cell"
    assert missing.sum() > 15
    combined = novelty_p_values(scores[~missing][:, COMBINED], scores[:, COMBINED])
    assert roc_auc_score(missing, -combined) > 0.8


def test_each_view_is_what_it_says(views):
    scores, _, fitted = views
    X = fitted.asked_[0].toarray()
    Z = fitted.embed()
    back = Z @ fitted.pca_.components_ + fitted.pca_.mean_
    residual = ((X - back) ** 2).sum(axis=1) / ((X - fitted.pca_.mean_) ** 2).sum(axis=1)
    np.testing.assert_allclose(scores[:, VIEWS.index("residual")], residual, rtol=1e-3)
    chances = fitted.regression_.predict_proba(Z / fitted.scale_)
    logits = fitted.regression_.decision_function(Z / fitted.scale_)
    energy = np.log(chances[:, 0]) - logits[:, 0]
    np.testing.assert_allclose(scores[:, VIEWS.index("energy")], energy, rtol=1e-6, atol=1e-6)


def test_a_gene_that_nobody_had_is_unexpected(three_studies):
    known, asked = three_studies.select(np.arange(200)), three_studies.select(np.arange(200, 260))
    labels = column(known, "cell_type")
    before = Strangeness(known, asked).fit(labels).scores()[:, VIEWS.index("unexpected")]
    counts = asked.counts.tolil()
    rare = np.argsort(np.asarray(known.counts.sum(axis=0)).ravel(), kind="stable")[:10]
    counts[0, rare] = 50
    surprising = replace(asked, counts=counts.tocsr())
    after = Strangeness(known, surprising).fit(labels).scores()[:, VIEWS.index("unexpected")]
    assert after[0] > before[0] + 1
    np.testing.assert_allclose(after[1:], before[1:], atol=0.3)


def test_p_values_are_uniform_however_dependent_the_views():
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(4000, 1))
    views = shared + 0.3 * rng.normal(size=(4000, 3))
    p = novelty_p_values(views[:2000], views[2000:])
    assert kstest(p, "uniform").pvalue > 1e-3
    assert np.mean(p <= 0.05) == pytest.approx(0.05, abs=0.02)
    # one and a half of the sum is put down to the laboratory
    far = novelty_p_values(views[:2000], views[2000:] + 6)
    assert far.max() < 0.05


def test_a_missing_type_is_seen_better_among_its_own(views):
    scores, labels, fitted = views
    missing = labels == "pancreatic stellate cell"
    near = alike(fitted.asked_[1])
    known = near[~missing][:, ~missing]
    calibration, asked = scores[~missing][:, COMBINED], scores[:, COMBINED]
    alone = novelty_p_values(calibration, asked)
    together = novelty_p_values(calibration, asked, calibration_near=known, near=near)
    assert roc_auc_score(missing, -together) > roc_auc_score(missing, -alone)
    assert np.mean(together[missing] < 0.05) > np.mean(alone[missing] < 0.05)
    assert np.mean(together[~missing] < 0.05) < 0.1


def test_p_values_among_cells_alike_are_uniform(three_studies):
    rng = np.random.default_rng(0)
    counts = three_studies.counts
    half = np.array_split(rng.permutation(counts.shape[0]), 2)
    views = np.log1p(np.asarray(counts.sum(axis=1))) + rng.normal(size=(counts.shape[0], 3))
    known, asked = (alike(counts[rows]) for rows in half)
    p = novelty_p_values(views[half[0]], views[half[1]], calibration_near=known, near=asked)
    # not kstest: cells that are alike are so together
    assert np.mean(p <= 0.05) == pytest.approx(0.05, abs=0.025)
    assert np.mean(p <= 0.5) == pytest.approx(0.5, abs=0.06)


def test_what_all_cells_have_is_put_down_to_the_laboratory_but_not_without_end():
    rng = np.random.default_rng(0)
    known, query = rng.normal(size=(2000, 3)), rng.normal(size=(1000, 3))
    novel = np.arange(1000) < 100
    query[novel] += 3
    before = novelty_p_values(known, query)
    elsewhere = novelty_p_values(known, query + 0.4)
    # .27 of them without leeway
    assert np.mean(elsewhere[~novel] <= 0.1) < 0.2
    few = novelty_p_values(known, query[-40:] + 0.4)
    assert np.mean(few <= 0.1) > np.mean(elsewhere[-40:] <= 0.1)
    assert np.mean(elsewhere[novel] <= 0.01) > 0.9 * np.mean(before[novel] <= 0.01)
    assert np.median(novelty_p_values(known, query + 3)) < 0.02


def test_a_query_of_another_tissue_is_said_to_be_strange(pancreas, data_dir):
    reference = pancreas[(pancreas.obs["study"] == "Fasolino 2022").to_numpy()]
    blood = pan.load_dataset("pbmc3k")[::6].copy()
    same = pancreas[(pancreas.obs["study"] == "Tosti 2021").to_numpy()][::3].copy()
    for query, strange in ((blood, True), (same, False)):
        pan.tl.annotate(query, reference=reference.copy(), label_key="cell_type")
        (how,) = pan.tl.history(query)
        assert bool(how["strangers"]) == strange
