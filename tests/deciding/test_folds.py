"""No donor is on both sides, and which groups are held out is found and told."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from pancyte.deciding.folds import make_folds
from pancyte.errors import InputError
from pancyte.shapes import Cells

LABELS = np.tile(["alpha", "beta"], 60)


def cells(**columns) -> Cells:
    obs = pd.DataFrame(columns, index=[f"cell {i}" for i in range(120)])
    return Cells(csr_matrix(np.ones((120, 2))), pd.DataFrame(index=["INS", "GCG"]), obs)


DONOR = [f"d{i // 10}" for i in range(120)]
STUDY = [f"s{i // 40}" for i in range(120)]


def test_donors_are_found_and_kept_together():
    folds = make_folds(cells(lane=DONOR, donor=DONOR), LABELS)
    assert (folds.key, folds.stand_in) == ("donor", False)
    by_donor = pd.Series(folds.codes).groupby(DONOR).nunique()
    assert (by_donor == 1).all()
    assert np.bincount(folds.codes).tolist() == [30, 30, 20, 20, 20]


def test_studies_are_held_out_for_a_query_of_a_new_study():
    reference = cells(donor=DONOR, study=STUDY)
    assert make_folds(reference, LABELS, query=cells(study=["new"] * 120)).key == "study"
    assert make_folds(reference, LABELS, query=cells(study=["s1"] * 120)).key == "donor"
    assert make_folds(reference, LABELS, query=cells()).key == "donor"


def test_a_column_that_is_not_of_donors_stands_in_for_them():
    folds = make_folds(cells(condition=DONOR), LABELS)
    assert (folds.key, folds.stand_in) == ("condition", True)
    assert make_folds(cells(sample=DONOR), LABELS).stand_in
    assert not make_folds(cells(condition=DONOR), LABELS, donor_key="condition").stand_in


def test_without_groups_each_label_is_dealt_out_evenly_and_that_is_said():
    folds = make_folds(cells(), LABELS)
    assert folds.key is None
    assert "less well than these numbers say" in folds.why
    for label in ("alpha", "beta"):
        assert np.ptp(np.bincount(folds.codes[label == LABELS])) <= 1
    again = make_folds(cells(), LABELS)
    np.testing.assert_array_equal(folds.codes, again.codes)


def test_a_column_without_groups_is_refused():
    with pytest.raises(InputError, match="same 'donor'"):
        make_folds(cells(donor=["one"] * 120), LABELS, donor_key="donor")
    with pytest.raises(InputError, match="no column 'patient'"):
        make_folds(cells(donor=DONOR), LABELS, donor_key="patient")
