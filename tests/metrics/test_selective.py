"""Answers that were given, by hand."""

import numpy as np
import pytest

from pancyte.metrics.selective import accuracy_answered, answered, worst_f1

TRUE = np.array(["a", "a", "b", "b", "c"])
GIVEN = np.array(["a", "b", "b", "b", "a"])


def test_by_hand():
    kept = np.array([True, False, True, True, True])
    assert answered(kept) == pytest.approx(0.8)
    assert accuracy_answered(TRUE, GIVEN, kept) == pytest.approx(3 / 4)
    assert accuracy_answered(TRUE, GIVEN, np.zeros(5, bool)) == 1
    assert worst_f1(TRUE, GIVEN) == 0
    assert worst_f1(TRUE[:4], GIVEN[:4]) == pytest.approx(2 / 3)


def test_a_label_that_is_only_given_is_no_worst_type():
    assert worst_f1(np.array(["a", "a"]), np.array(["a", "z"])) == pytest.approx(2 / 3)


def test_resampling_leaves_a_type_out_where_no_cell_of_it_is_drawn():
    weights = [np.array([[2.0, 0, 1, 1, 0]])]
    drawn = worst_f1.resampled({"y_true": TRUE, "y_pred": GIVEN}, weights)
    assert drawn == pytest.approx([1.0])
