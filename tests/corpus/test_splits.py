from __future__ import annotations

import numpy as np
import pytest

from pancyte.corpus.splits import (
    hold_out_groups,
    leave_one_group_out,
    require_apart,
    stratified_subsample,
)
from pancyte.errors import InputError, UsageError


def test_every_donor_is_held_out_once(pancreas):
    donors = pancreas.obs["donor"]
    folds = list(leave_one_group_out(donors))
    assert [name for name, _, _ in folds] == sorted(donors.unique())
    assert sorted(np.concatenate([test for *_, test in folds])) == list(range(len(donors)))
    for name, train, test in folds:
        assert set(donors.iloc[test]) == {name}
        assert name not in set(donors.iloc[train])
        assert len(train) + len(test) == len(donors)


def test_named_groups(pancreas):
    studies = pancreas.obs["study"]
    train, test = hold_out_groups(studies, ["Muraro 2016", "Tosti 2021"])
    assert set(studies.iloc[test]) == {"Muraro 2016", "Tosti 2021"}
    assert set(studies.iloc[train]) == {"Fasolino 2022", "Tritschler 2022"}
    with pytest.raises(InputError, match=r"no group 'Baron'.*'Fasolino 2022'"):
        hold_out_groups(studies, ["Baron"])
    with pytest.raises(InputError, match="Every group"):
        hold_out_groups(studies, list(studies.unique()))


def test_a_share_of_the_donors(pancreas):
    donors = pancreas.obs["donor"].to_numpy()
    train, test = hold_out_groups(donors, 0.25, seed=3)
    assert len(set(donors[test])) == 5
    assert not set(donors[train]) & set(donors[test])
    again = hold_out_groups(donors, 0.25, seed=3)
    assert np.array_equal(test, again[1])
    draws = {tuple(hold_out_groups(donors, 0.25, seed=seed)[1]) for seed in range(5)}
    assert len(draws) > 1
    # even a tiny or huge share leaves a group on each side
    assert len(set(donors[hold_out_groups(donors, 0.001)[1]])) == 1
    assert len(set(donors[hold_out_groups(donors, 0.999)[0]])) == 1
    with pytest.raises(UsageError):
        hold_out_groups(donors, 1.0)


def test_relabelling_cells_does_not_move_them(pancreas):
    donors = pancreas.obs["donor"].to_numpy().astype(str)
    order = np.random.default_rng(0).permutation(len(donors))
    test, moved = hold_out_groups(donors, 0.3)[1], hold_out_groups(donors[order], 0.3)[1]
    assert np.array_equal(np.sort(order[moved]), test)


def test_subsample_keeps_every_type(pancreas):
    labels = pancreas.obs["cell_type"].to_numpy()
    rows = stratified_subsample(labels, 0.1, seed=0)
    whole, kept = (
        pancreas.obs["cell_type"].value_counts(),
        np.unique(labels[rows], return_counts=True),
    )
    assert dict(zip(*kept, strict=True)) == {name: round(0.1 * n) for name, n in whole.items()}
    assert np.array_equal(rows, stratified_subsample(labels, 0.1, seed=0))
    assert not np.array_equal(rows, stratified_subsample(labels, 0.1, seed=1))
    assert set(labels[stratified_subsample(labels, 1e-9, seed=0)]) == set(labels)
    assert np.array_equal(stratified_subsample(labels, 1.0, seed=0), np.arange(len(labels)))


def test_a_group_on_both_sides_is_refused():
    groups = np.array(["a", "a", "b", "b"])
    require_apart(groups, np.array([0, 1]), np.array([2, 3]))
    with pytest.raises(InputError, match="Cells of 'b' are on both sides"):
        require_apart(groups, np.array([0, 1, 2]), np.array([3]))
    with pytest.raises(InputError, match="no cells"):
        require_apart(groups, np.array([0]), np.array([], int))


def test_cells_without_a_group_are_refused(pancreas):
    donors = pancreas.obs["donor"].astype(object).to_numpy().copy()
    donors[[4, 9]] = np.nan, None
    with pytest.raises(InputError, match=r"2 of 3,274 cells have no group"):
        next(leave_one_group_out(donors))
    with pytest.raises(InputError, match="All cells are of one group"):
        hold_out_groups(np.repeat("a", 5), 0.5)
