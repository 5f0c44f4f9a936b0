"""A second opinion names labels on which it agrees less often than it did, and stays in sets."""

import numpy as np
import pytest

from pancyte.corpus.cells import column, to_cells
from pancyte.deciding.decision import Decider, Limits
from pancyte.deciding.routes import routes
from pancyte.deciding.second import second_opinion

CLASSES = np.array(["alpha", "beta", "delta"])


def codes(*counts: int) -> np.ndarray:
    return np.repeat(np.arange(3), counts)


def sure(labels, probability=0.8):
    """Probabilities of which each label's is the largest, (cells, labels)."""
    return np.where(np.eye(3, dtype=bool)[labels], probability, (1 - probability) / 2)


def opinion(given, own, *, real=None):
    before = codes(100, 100, 0)
    held_out = sure(before), sure(np.where(np.arange(200) % 20 == 0, 2, before))
    real = np.ones(len(given), bool) if real is None else real
    return second_opinion("other", CLASSES, held_out, (sure(given), sure(own, 0.6)), real=real)


def test_a_label_is_doubtful_where_the_ways_part_more_than_before():
    given = codes(60, 60, 60)
    own = np.where((given == 1) & (np.arange(180) % 2 == 0), 0, given)
    found = opinion(given, own)
    np.testing.assert_allclose(found.held_out, [0.95, 0.95, np.nan])
    np.testing.assert_allclose(found.query, [1, 0.5, 1])
    np.testing.assert_allclose(found.over_all, [0.95, 150 / 180])
    assert found.doubtful.tolist() == [False, True, False]
    assert "95 % of the held-out cells and to 83 % of the query's" in found.told()
    assert "beta (95 and 50 %)" in found.told()
    assert found.record()["by_label"][2] == {
        "label": "delta", "held_out": None, "query": 1.0, "doubtful": False,
    }  # fmt: skip


def test_it_stays_in_the_sets_of_doubtful_cells_only():
    given = codes(60, 60, 60)
    own = np.where((given == 1) & (np.arange(180) % 2 == 0), 0, given)
    own[0] = 2
    sets = np.eye(3, dtype=bool)[given]
    found = opinion(given, own)
    kept = found.stays(sets)
    assert (kept[given == 1, 0] == (np.arange(60) % 2 == 0)).all()
    np.testing.assert_array_equal(kept[given != 1], sets[given != 1])
    assert sets.sum() == 180
    trust = found.trust(np.full(180, 0.8))
    np.testing.assert_allclose(trust[given != 1], 0.8)
    np.testing.assert_allclose(trust[given == 1], np.where(np.arange(60) % 2 == 0, 0.2, 0.6))


@pytest.mark.parametrize("given", [codes(1, 0, 0), codes(2, 0, 0), codes(5, 5, 0), codes(0, 0, 0)])
def test_few_cells_and_small_differences_doubt_nothing(given):
    own = given.copy()
    own[:1] = 0
    found = opinion(given, own)
    assert not found.doubtful.any()
    assert "doubtful" not in found.told()


def test_empty_cells_say_nothing():
    given, own = codes(60, 60, 0), codes(60, 60, 0)
    own[30:60] = 1
    assert opinion(given, own).doubtful[0]
    assert not opinion(given, own, real=own == given).doubtful.any()


def test_nuclei_are_doubted_where_they_are_labelled_wrongly(pancreas):
    """Tosti's are of nuclei, all others of whole cells, and ridge does not see to that."""
    cells = to_cells(pancreas)
    nuclei = column(cells, "study") == "Tosti 2021"
    query = cells.select(nuclei)
    decider = Decider(routes((), baselines=["l2-logistic", "l1-logistic"]))
    decision = decider.fit(cells.select(~nuclei), "cell_type", query=query).decide(query, Limits())
    second = decision.second
    right = decision.best == column(query, "cell_type")
    doubtful = second.doubted
    by_trust, by_probability = (
        right[np.argsort(-order, kind="stable")[: len(right) // 2]].mean()
        for order in (decision.trust, decision.probabilities.max(axis=1))
    )
    assert by_trust > by_probability
    assert 50 < doubtful.sum() < len(doubtful) - 50
    assert right[doubtful].mean() < right[~doubtful].mean() - 0.1
    other = doubtful & (second.answers != second.given)
    assert (decision.sets[other].sum(axis=1) > 1).all()
    assert (decision.reasons[other] != "").all()


def test_a_way_is_no_second_opinion_on_itself(three_studies):
    alone = Decider(routes((), baselines=["l1-logistic"]))
    decision = alone.fit(three_studies, "cell_type", query=three_studies)
    assert decision.decide(three_studies, Limits()).second is None
