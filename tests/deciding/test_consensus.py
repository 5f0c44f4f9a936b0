"""A cluster speaks with one voice only where its cells do."""

import numpy as np

from pancyte.deciding.consensus import consensus


def test_majority_with_margin_and_abstention():
    clusters = np.repeat([0, 1, 2], 10)
    labels = ["beta"] * 7 + ["alpha"] * 3 + ["beta"] * 5 + ["alpha"] * 4 + [""] + [""] * 10
    answer, leads = consensus(clusters, labels)
    assert set(answer[:10]) == {"beta"}
    assert leads[0] == 0.4
    assert set(answer[10:]) == {""}
    assert leads[10] == 1 / 9
    assert leads[25] == 0
    assert set(consensus(clusters, labels, margin=0.1)[0][10:20]) == {"beta"}
