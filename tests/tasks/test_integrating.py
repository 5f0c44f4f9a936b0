"""Corrections of batches: what each promises, on real cells and on moved copies of them."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.spatial.distance import pdist, squareform

from pancyte import registry
from pancyte.corpus.cells import column
from pancyte.errors import InputError
from pancyte.metrics.scib import pcr_comparison
from pancyte.tasks.baselines import PCA
from pancyte.tasks.combat import ComBat
from pancyte.tasks.matched import Matched, Standardised, mutual_pairs


class Fixed:
    """An embedding that is known."""

    name = "fixed"

    def __init__(self, Z: np.ndarray) -> None:
        self.Z = Z

    def embed(self, reference, *queries, batch_key, seed):
        return (self.Z,)


@pytest.fixture(scope="module")
def plain(cells) -> np.ndarray:
    return PCA().embed(cells, batch_key=None, seed=0)[0]


@pytest.mark.parametrize("name", ["combat", "matched", "standardised"])
def test_batches_explain_less_after_it_and_it_repeats_itself(name, cells, plain):
    method = registry.get("methods", name)()
    (Z,) = method.embed(cells, batch_key="study", seed=0)
    (again,) = method.embed(cells, batch_key="study", seed=0)
    np.testing.assert_array_equal(Z, again)
    assert Z.shape[0] == len(cells)
    assert pcr_comparison(plain, Z, column(cells, "study")) > 0.3


def test_a_tuned_model_tells_batches_less_and_leaves_its_base_alone(cells):
    from pancyte.models.card import Card
    from pancyte.models.model import Model
    from pancyte.tasks.adversarial import AdversarialTuning
    from pancyte.tokenizers.continuous import ContinuousTokenizer
    from pancyte.tokenizers.tokenizer import TokenizerConfig

    few = cells.select(np.arange(0, len(cells), 4))
    batches = np.where(np.arange(len(few)) % 2, "one", "other")
    counts = few.counts.toarray()
    counts[batches == "other", ::3] *= 10
    few = replace(few, counts=csr_matrix(counts), obs=few.obs.assign(batch=batches))
    model = Model.create(
        ContinuousTokenizer(TokenizerConfig(max_length=32)).fit(few),
        backbone={"name": "transformer", "config": {"depth": 1, "width": 16}},
        objective={"name": "masked_value"},
        card=Card("tiny"),
    )
    before, Z = model.fingerprint(), model.embed(few)
    tuning = AdversarialTuning(model, epochs=40)
    (tuned,) = tuning.embed(few, batch_key="batch", seed=0)
    assert model.fingerprint() == before
    np.testing.assert_array_equal(model.embed(few), Z)
    (again,) = tuning.embed(few, batch_key="batch", seed=0)
    np.testing.assert_array_equal(tuned, again)
    assert pcr_comparison(Z, tuned, batches) > 0.2
    labels = column(few, "cell_type")
    assert cell_purity(tuned, labels) > cell_purity(Z, labels) - 0.1


def cell_purity(Z: np.ndarray, labels: np.ndarray) -> float:
    """Share of cells whose nearest other cell has their label."""
    apart = squareform(pdist(Z))
    np.fill_diagonal(apart, np.inf)
    return float((labels[apart.argmin(axis=1)] == labels).mean())


def test_matched_keeps_every_distance_within_a_batch(cells, plain):
    (Z,) = Matched().embed(cells, batch_key="study", seed=0)
    studies = column(cells, "study")
    for study in np.unique(studies):
        rows = studies == study
        np.testing.assert_allclose(pdist(Z[rows]), pdist(plain[rows]), rtol=1e-6)


def test_matched_undoes_a_small_turn_and_shift(cells, plain):
    rng = np.random.default_rng(0)
    half = rng.random(len(plain)) < 0.5
    turn, _ = np.linalg.qr(np.eye(plain.shape[1]) + 0.02 * rng.normal(size=(plain.shape[1],) * 2))
    turn *= np.sign(np.diag(turn))
    moved = np.where(half[:, None], plain @ turn + 2, plain)
    split = replace(cells, obs=cells.obs.assign(half=half.astype(str)))
    (Z,) = Matched(Fixed(moved)).embed(split, batch_key="half", seed=0)
    gap = np.linalg.norm(moved[half].mean(axis=0) - moved[~half].mean(axis=0))
    left = np.linalg.norm(Z[half].mean(axis=0) - Z[~half].mean(axis=0))
    assert left < 0.25 * gap


def test_a_batch_without_partners_stays_where_it_is(cells):
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(len(cells), 5))
    few = np.arange(len(cells)) < 8
    Z[few] += 100
    split = replace(cells, obs=cells.obs.assign(few=few.astype(str)))
    (found,) = Matched(Fixed(Z)).embed(split, batch_key="few", seed=0)
    np.testing.assert_array_equal(found, Z)


def test_mutual_pairs_are_mutual():
    rng = np.random.default_rng(0)
    A, B = rng.normal(size=(60, 3)), rng.normal(size=(50, 3))
    lengths = np.linalg.norm(A[:, None] - B[None], axis=2)
    rows, partners = mutual_pairs(A, B, 4)
    expected = {
        (i, j)
        for i in range(60)
        for j in range(50)
        if (lengths[i] < lengths[i, j]).sum() < 4 and (lengths[:, j] < lengths[i, j]).sum() < 4
    }
    assert set(zip(rows.tolist(), partners.tolist(), strict=True)) == expected


def test_standardised_batches_have_one_mean_and_scale(cells):
    (Z,) = Standardised().embed(cells, batch_key="study", seed=0)
    studies = column(cells, "study")
    spreads = [Z[studies == study].std(axis=0) for study in np.unique(studies)]
    np.testing.assert_allclose(spreads, np.broadcast_to(spreads[0], np.shape(spreads)), rtol=1e-6)
    for study in np.unique(studies):
        np.testing.assert_allclose(Z[studies == study].mean(axis=0), 0, atol=1e-6)


@pytest.mark.parametrize("kind", [ComBat, Matched, Standardised])
def test_one_batch_is_refused(kind, cells):
    single = cells.select(column(cells, "study") == "Muraro 2016")
    with pytest.raises(InputError, match="single batch"):
        kind().embed(single, batch_key="study", seed=0)


def test_scanorama_mixes_studies_more(cells, plain):
    pytest.importorskip("scanorama", reason="scanorama is not installed")
    (Z,) = registry.get("methods", "scanorama")().embed(cells, batch_key="study", seed=0)
    assert pcr_comparison(plain, Z, column(cells, "study")) > 0.1
