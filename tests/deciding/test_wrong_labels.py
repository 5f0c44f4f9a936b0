"""A reference of which many labels are wrong: said, and reckoned with."""

import numpy as np
import pytest

from pancyte.corpus.cells import column
from pancyte.deciding import choice
from pancyte.deciding.decision import Decider, Limits
from pancyte.deciding.routes import routes
from pancyte.metrics.classification import ece
from pancyte.tasks.stresses import LabelNoise


@pytest.fixture(scope="module")
def labelled(three_studies):
    """One donor labelled after others, by the share of wrong labels, reckoned with or not."""
    cells = three_studies.select(column(three_studies, "study") == "Fasolino 2022")
    donors = column(cells, "donor")
    asked = donors == max(np.unique(donors), key=lambda donor: (donors == donor).sum())
    reference, query = cells.select(~asked), cells.select(asked)
    truth = column(query, "cell_type")

    def label(share: float, most: float = choice.MANY_WRONG, seed: int = 0):
        learned = reference
        if share:
            learned, _ = LabelNoise().strained(
                reference, query, share, label_key="cell_type", seed=seed
            )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(choice, "MANY_WRONG", most)
            decider = Decider(routes(())).fit(learned, "cell_type", query=query)
        decision = decider.decide(query, Limits())
        known = np.isin(truth, decision.classes)
        at = np.searchsorted(decision.classes, truth[known])
        return {
            "wrong": decider.choice.wrong,
            "told": decider.record()["wrong_labels"],
            "ece": ece(truth[known], decision.best[known], decision.probabilities[known]),
            "covered": decision.sets[known][np.arange(len(at)), at].mean(),
            "labelled": (decision.reasons[known] == "").mean(),
        }

    def exchanged(most: float):
        each = [label(0.3, most, seed) for seed in range(4)]
        means = {key: np.mean([one[key] for one in each]) for key in each[0] if key != "told"}
        return means | {"told": each[0]["told"]}

    return {
        "as published": label(0),
        "wrong": exchanged(choice.MANY_WRONG),
        "unaware": exchanged(1.0),
    }


def test_the_share_is_found_and_told(labelled):
    assert labelled["as published"]["told"] is None
    assert labelled["wrong"]["wrong"] == pytest.approx(0.3, abs=0.08)
    assert "labels look wrong" in labelled["wrong"]["told"]["told"]


def test_probabilities_and_sets_are_those_of_true_labels(labelled):
    found, unaware = labelled["wrong"], labelled["unaware"]
    assert found["ece"] < labelled["as published"]["ece"] + 0.05
    assert found["ece"] < unaware["ece"] - 0.05
    assert found["covered"] > labelled["as published"]["covered"] - 0.05
    assert found["labelled"] > unaware["labelled"] + 0.5
