import numpy as np
import pytest
from scipy.sparse import csr_matrix, vstack

from pancyte import registry
from pancyte.errors import InputError, UsageError
from pancyte.rare.finder import GroupLimits, find_rare
from pancyte.tasks.task import FindsRare
from tests.rare.conftest import drawn, made

METHODS = ("leiden-smallest", "isolation-forest", "lof", "gini-like", "fire-like", "cad-like")


@pytest.fixture(scope="module")
def found(planted):
    return find_rare(planted[0], seed=0)


def test_a_planted_group_is_called_and_named(planted, found):
    truth = planted[1]
    called = [group for group in found.groups if group.q <= 0.05]
    assert len(called) == 1
    cells = np.isin(np.arange(len(truth)), called[0].cells)
    assert (cells & truth).sum() >= 7
    assert cells.sum() <= 9
    assert set(called[0].markers) >= set(range(289, 299))
    assert called[0].stability == 1
    assert called[0].doublets < 0.5
    assert called[0].fold > 2


def test_scores_and_p_values_agree_with_the_group(planted, found):
    truth = planted[1]
    assert found.scores[truth].min() > np.quantile(found.scores[~truth], 0.99)
    inside = found.members >= 0
    assert found.p_values[inside].max() < 0.05
    assert (found.p_values[~inside] == 1).all()


def test_nothing_is_called_where_there_is_nothing(plain):
    for seed in range(3):
        assert (find_rare(plain, seed=seed).members == -1).all()


def test_the_same_seed_gives_the_same_answer(planted, found):
    again = find_rare(planted[0], seed=0)
    np.testing.assert_array_equal(again.scores, found.scores)
    assert [g.q for g in again.groups] == [g.q for g in found.groups]


def test_doublets_of_two_types_are_not_called():
    cells, _ = drawn(0, seed=3)
    rng = np.random.default_rng(0)
    counts = cells.counts
    kinds = (
        np.asarray(counts[:, :20].sum(axis=1)).ravel()
        > np.asarray(counts[:, 20:40].sum(axis=1)).ravel()
    )
    first, second = (rng.choice(np.flatnonzero(kinds == k), 9) for k in (True, False))
    both = made(vstack([counts, csr_matrix(counts[first] + counts[second])]).toarray())
    found = find_rare(both, seed=0)
    assert not (found.members[-9:] >= 0).any()


def test_another_view_is_looked_in_and_named(planted):
    """The group is planted in the embedding alone's favour: expression would see it as well."""
    cells, _ = planted
    asked = []

    def embed(counts):
        asked.append(counts.sum())
        return np.asarray(counts[:, -12:].toarray() > 0, dtype=float) + 0.01 * np.arange(12)

    limits = GroupLimits(splits=1)
    found = find_rare(cells, limits=limits, views={"panel": embed}, seed=0)
    assert {group.view for group in found.groups} <= {"expression", "panel"}
    assert len(asked) == 1
    # it is shown the searched part of the reads, never those that test
    assert asked[0] / cells.counts.sum() == pytest.approx(0.6, abs=0.02)


@pytest.mark.parametrize(
    "wrong", [{"fewest": 2}, {"most": 0.5}, {"alpha": 0}, {"splits": 0}], ids=str
)
def test_impossible_limits_are_refused(wrong):
    with pytest.raises(UsageError):
        GroupLimits(**wrong)


def test_too_few_cells_or_genes_are_refused(planted):
    cells, _ = planted
    with pytest.raises(InputError, match="60 cells"):
        find_rare(cells.select(np.arange(60)))
    with pytest.raises(InputError, match="genes that at least three"):
        find_rare(made(cells.counts[:, :20].toarray()))
    emptied = made(np.where(np.arange(len(cells))[:, None] < 250, 0, cells.counts.toarray()))
    with pytest.raises(InputError, match="with reads"):
        find_rare(emptied)


@pytest.mark.parametrize("name", METHODS)
def test_every_baseline_scores_all_cells_and_names_some(planted, name):
    method = registry.get("methods", name)()
    assert isinstance(method, FindsRare)
    answer = method.find_rare(planted[0], seed=0)
    assert answer.scores.shape == planted[1].shape
    assert np.isfinite(answer.scores).all()
    for group in answer.groups:
        assert set(group.tolist()) <= set(range(len(planted[1])))


@pytest.mark.parametrize("name", ["leiden-smallest", "gini-like", "cad-like"])
def test_baselines_with_groups_find_a_clear_one(name):
    cells, truth = drawn(20, common=140, seed=1)
    answer = registry.get("methods", name)().find_rare(cells, seed=0)
    best = max(2 * truth[group].sum() / (len(group) + truth.sum()) for group in answer.groups)
    assert best > 0.7
