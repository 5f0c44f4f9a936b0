"""Who learns and who is asked: nothing of the query reaches what is fitted."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pancyte.errors import InputError, UsageError
from pancyte.tasks.annotation import Annotation
from pancyte.tasks.dataset import Dataset
from pancyte.tasks.embedding import Embedding
from pancyte.tasks.expression import while_same_cells

SEEDS = range(3)


def test_each_study_is_held_out_in_turn_and_whole(dataset):
    splits = list(Annotation().splits(dataset, SEEDS))
    studies = dataset.cells.obs["study"].astype(str).to_numpy()
    assert [s.fold for s in splits] == sorted(np.repeat(np.unique(studies), 3))
    for split in splits:
        assert split.fold not in studies[split.reference_rows]
        assert set(studies[split.query_rows]) == {split.fold}
        assert len(split.query_rows) == (studies == split.fold).sum()


def test_seeds_learn_from_different_stratified_shares_of_the_reference(dataset):
    first, second, _ = list(Annotation().splits(dataset, SEEDS))[:3]
    rest = int((dataset.cells.obs["study"] != first.fold).sum())
    assert len(first.reference_rows) == pytest.approx(0.8 * rest, abs=5)
    shared = np.intersect1d(first.reference_rows, second.reference_rows)
    assert 0.6 * rest < len(shared) < 0.75 * rest
    assert set(first.reference_labels) == set(second.reference_labels)
    np.testing.assert_array_equal(first.query_rows, second.query_rows)
    again = next(Annotation().splits(dataset, SEEDS))
    np.testing.assert_array_equal(first.reference_rows, again.reference_rows)


def test_named_groups_are_held_out_together_and_learned_from(dataset):
    chosen = replace(dataset, held_out=("Muraro 2016",), learn_from=("Fasolino 2022",))
    (split,) = Annotation().splits(chosen, [0])
    assert set(split.reference.obs["study"]) == {"Fasolino 2022"}
    assert split.fold == "Muraro 2016"


def test_a_query_reaches_the_method_without_any_label(dataset):
    split = next(Annotation().splits(dataset, [0]))
    assert list(split.query.obs.columns) == ["study"]
    embedding = next(Embedding().splits(dataset, [0]))
    assert list(embedding.query.obs.columns) == ["study"]
    blind = replace(dataset, batch_key=None)
    assert next(Annotation().splits(blind, [0])).query.obs.shape[1] == 0


def test_unlabelled_cells_are_neither_learned_from_nor_scored(dataset):
    labels = dataset.cells.obs["cell_type"].astype(object)
    labels[:60] = "unassigned"
    labels[60:90] = np.nan
    cells = replace(dataset.cells, obs=dataset.cells.obs.assign(cell_type=labels))
    marked = replace(dataset, cells=cells, unlabelled=("unassigned",))
    for split in Annotation().splits(marked, [0]):
        assert split.reference_rows.min() >= 90
        assert len(split.query_rows) == (cells.obs["study"] == split.fold).sum()
    (whole,) = Embedding().splits(marked, [0])
    assert whole.query_rows.min() >= 90


def test_a_second_dataset_is_the_query_of_one_fold(dataset):
    pair = Dataset(
        cells=replace(dataset.cells.select(np.arange(200)), name="one"),
        query=replace(dataset.cells.select(np.arange(200, 400)), name="two"),
        label_key="cell_type",
    )
    (split,) = Annotation().splits(pair, [0])
    assert split.fold == pair.name == "one → two"
    assert len(split.query) == 200
    assert pair.revision.count("+") == 1
    assert replace(pair, title="ours").name == "ours"


def test_impossible_questions_are_refused_with_what_would_help(dataset):
    with pytest.raises(InputError, match=r"no column 'celltype' in obs.*cell_type"):
        replace(dataset, label_key="celltype")
    with pytest.raises(UsageError, match="split_by"):
        list(Annotation().splits(replace(dataset, split_by=None), [0]))
    foreign = replace(dataset.cells, obs=dataset.cells.obs.assign(cell_type="neuron"))
    with pytest.raises(InputError, match=r"No cell type of the query.*neuron"):
        list(Annotation().splits(Dataset(dataset.cells, "cell_type", query=foreign), [0]))


def test_the_embedding_task_takes_another_stratified_share_for_each_seed(dataset):
    splits = list(Embedding().splits(dataset, SEEDS))
    assert [s.seed for s in splits] == [0, 1, 2]
    shares = [pd.Series(s.query_labels).value_counts() / len(s.query_rows) for s in splits]
    whole = pd.Series(dataset.labels(dataset.cells)).value_counts() / len(dataset.cells)
    for split, share in zip(splits, shares, strict=True):
        assert len(split.query_rows) == pytest.approx(0.8 * len(dataset.cells), abs=5)
        assert (share - whole).abs().max() < 0.01
    assert set(splits[0].query_rows) != set(splits[1].query_rows)


def test_a_remembered_result_is_only_given_for_the_very_same_cells(cells):
    calls = []

    @while_same_cells
    def total(*parts, factor=1):
        calls.append(len(parts))
        return factor * sum(part.counts.sum() for part in parts)

    copy = cells.select(np.arange(len(cells)))
    assert total(cells) == total(cells) == total(copy)
    assert total(cells, factor=2) == 2 * total(cells)
    assert len(calls) == 4


@pytest.mark.parametrize(
    ("key", "words"),
    [("batch", "no batch column 'batch'"), ("organism", "one value only")],
    ids=["missing", "single level"],
)
def test_a_batch_column_that_tells_nothing_is_asked_about(dataset, key, words):
    human = dataset.cells.obs.assign(organism="human")
    cells = replace(dataset.cells, obs=human)
    with pytest.raises(InputError, match=rf"{words}.*look like batches: study"):
        Dataset(cells, "cell_type", batch_key=key)


def test_a_query_may_be_one_batch_but_must_say_which(cells):
    studies = cells.obs["study"].to_numpy()
    reference = cells.select(np.flatnonzero(studies != "Muraro 2016"))
    query = cells.select(np.flatnonzero(studies == "Muraro 2016"))
    assert Dataset(reference, "cell_type", batch_key="study", query=query).asked is query
    nameless = replace(query, obs=query.obs.drop(columns="study"))
    with pytest.raises(InputError, match=rf"{len(query)} of {len(cells)} cells have no value"):
        Dataset(reference, "cell_type", batch_key="study", query=nameless)
