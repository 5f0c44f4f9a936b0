"""What a laboratory does to genes is found, told from composition, and done to other cells."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import vstack

from pancyte.corpus.cells import column
from pancyte.deciding.decision import Decider, Limits
from pancyte.deciding.rehearsal import (
    Laboratory,
    compare,
    much_nearer,
    rehearsed,
    share_to_rehearse,
    told,
)
from pancyte.deciding.routes import routes
from pancyte.shapes import Cells
from pancyte.tasks.stresses import Batch


@pytest.fixture(scope="module")
def halves(three_studies):
    """Cells of one study, dealt out to a reference and a query."""
    study = three_studies.select(column(three_studies, "study") == "Fasolino 2022")
    order = np.random.default_rng(0).permutation(len(study))
    cut = len(order) // 2
    return study.select(np.sort(order[:cut])), study.select(np.sort(order[cut:]))


@pytest.fixture(scope="module")
def strained(halves):
    """The query as another laboratory would have measured it, and the true effects."""
    reference, query = halves
    _, other = Batch().strained(reference, query, 0.8, label_key="cell_type", seed=5)
    effects = 0.8 * np.random.default_rng(5).standard_normal(len(query.features))
    return other, effects


def test_halves_of_one_experiment_are_not_apart(halves):
    found = compare(*halves, label_key="cell_type")
    assert found.spread < 0.3
    assert found.depth == pytest.approx(1, abs=0.2)


def test_effects_are_found_and_are_not_those_of_composition(halves, strained):
    reference, _ = halves
    other, effects = strained
    ductal = column(other, "cell_type") == "pancreatic ductal cell"
    kept = np.flatnonzero(~ductal | (np.arange(len(other)) % 4 == 0))
    found = compare(reference, other.select(kept), label_key="cell_type")
    assert found.spread == pytest.approx(0.8, abs=0.12)
    known = found.effects != 0
    assert known.sum() > 500
    reads = np.asarray(reference.counts.sum(axis=0)).ravel()
    clear = known & (reads > 300)
    assert np.corrcoef(found.effects[clear], effects[clear])[0, 1] > 0.9


def test_rehearsed_cells_have_the_effects(halves):
    reference, _ = halves
    effects = np.where(np.arange(len(reference.features)) % 2, 1.0, -1.0)
    made = rehearsed(reference, Laboratory(effects, 0.5, 1.0), 1.0)
    before = np.asarray(reference.counts.sum(axis=0), dtype=float).ravel()
    after = np.asarray(made.counts.sum(axis=0), dtype=float).ravel()
    odd = effects > 0
    ratio = (after[odd].sum() / before[odd].sum()) / (after[~odd].sum() / before[~odd].sum())
    assert np.log(ratio) == pytest.approx(2, abs=0.1)
    assert after.sum() == pytest.approx(0.5 * before.sum(), rel=0.05)
    assert (made.counts.data == np.rint(made.counts.data)).all()
    assert (made.counts.data > 0).all()
    deeper = rehearsed(reference, Laboratory(effects, 3.0, 1.0), 1.0)
    assert deeper.counts.sum() == pytest.approx(before.sum(), rel=0.05)


def test_no_share_leaves_cells_alone_and_a_seed_repeats(halves):
    reference, _ = halves
    laboratory = Laboratory(np.ones(len(reference.features)), 0.5, 1.0)
    assert rehearsed(reference, laboratory, 0.0) is reference
    first, second = (rehearsed(reference, laboratory, 0.5, seed=3) for _ in range(2))
    assert (first.counts != second.counts).nnz == 0


def apart(spread: float) -> Laboratory:
    return Laboratory(np.zeros(3), 1.0, spread)


def test_only_what_held_out_cells_lack_is_rehearsed():
    held_out = [apart(0.3), apart(0.6)]
    assert share_to_rehearse(apart(0.6), held_out) == 0
    assert share_to_rehearse(apart(1.0), held_out) == pytest.approx(0.8)
    assert share_to_rehearse(apart(0.0), []) == 0
    assert "as far from the others" in told(apart(0.5), held_out, 0.0)
    assert "measured otherwise" in told(apart(1.0), held_out, 0.8)


def test_held_out_parts_that_are_all_twice_as_far_show_nothing_of_the_query():
    assert much_nearer(apart(0.1), [apart(0.3), apart(0.4)])
    assert not much_nearer(apart(0.2), [apart(0.3), apart(0.4)])
    assert not much_nearer(apart(0.1), [apart(0.3), apart(0.1)])
    assert not much_nearer(apart(0.0), [])


@pytest.mark.parametrize("cells", [1, 5, 20])
def test_a_few_cells_of_the_same_experiment_are_not_another_laboratory(halves, cells):
    reference, query = halves
    for seed in range(3):
        rows = np.random.default_rng(seed).choice(len(query), cells, replace=False)
        found = compare(reference, query.select(np.sort(rows)), label_key="cell_type")
        assert np.isfinite(found.effects).all()
        assert found.spread < 0.4


def test_known_cells_of_another_laboratory_are_new_only_if_it_was_not_rehearsed(
    halves, monkeypatch
):
    """Sets hold either way, in the mean of three, as they are relative to the query's cells."""
    reference, query = halves
    alone = replace(reference, obs=reference.obs[["cell_type"]])
    truth = column(query, "cell_type")
    covered, strange = {True: [], False: []}, {True: [], False: []}
    for rehearse in (True, False):
        if not rehearse:
            monkeypatch.setattr("pancyte.deciding.decision.share_to_rehearse", lambda *_: 0.0)
        for seed in (5, 6, 7):
            _, other = Batch().strained(reference, query, 1.6, label_key="cell_type", seed=seed)
            decider = Decider(routes(()), seed=0).fit(alone, "cell_type", query=other)
            decision = decider.decide(other, Limits(alpha=0.1))
            row = np.searchsorted(decision.classes, truth)
            covered[rehearse].append(decision.sets[np.arange(len(truth)), row].mean())
            strange[rehearse].append((decision.novelty < 0.1).mean())
            assert ("measured otherwise" in decider.record()["laboratory"]) == rehearse
    for rehearse in (True, False):
        assert 0.9 <= np.mean(covered[rehearse]) <= 0.97
    assert (np.subtract(strange[True], 0.1) < np.subtract(strange[False], 0.1) / 3).all()


def under_both(cells: Cells, seed: int) -> Cells:
    """Half of the cells under another condition, which changes genes as the seed says."""
    odd = np.arange(len(cells)) % 2 == 1
    _, other = Batch().strained(cells, cells.select(odd), 0.8, label_key="cell_type", seed=seed)
    parts = cells.select(~odd), other
    obs = pd.concat([part.obs[["cell_type"]] for part in parts])
    counts = vstack([part.counts for part in parts], format="csr")
    on = np.repeat(["without", "with"], [len(part) for part in parts])
    return replace(cells, counts=counts, obs=obs.assign(condition=on))


def test_conditions_are_held_out_only_for_a_query_that_is_as_far(halves):
    reference, query = halves
    known = under_both(reference, seed=5)
    for asked, key in ((under_both(query, seed=5), None), (under_both(query, seed=6), "condition")):
        decider = Decider(routes((), baselines=["l2-logistic"])).fit(
            known, "cell_type", query=asked
        )
        assert decider.folds.key == key
        assert ("groups of 'condition' are at least twice" in decider.folds.why) == (key is None)
