from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from jaxtyping import TypeCheckError
from scipy.sparse import csr_matrix

from pancyte.deciding.rehearsal import Laboratory, rehearsed
from pancyte.shapes import Cells, Hidden, Tokens, offsets_of
from pancyte.tasks.stresses import Ambient, Batch, Depth, Dropout


def three_cells():
    return Tokens(
        torch.tensor([5, 6, 7, 8, 9, 10], dtype=torch.int32),
        torch.arange(6.0),
        torch.tensor([0, 2, 2, 6]),
        {"species": torch.tensor([1, 0, 2])},
    )


def test_select_repacks_in_the_given_order():
    chosen = three_cells().select(torch.tensor([2, 0, 1]))
    assert chosen.ids.tolist() == [7, 8, 9, 10, 5, 6]
    assert chosen.offsets.tolist() == [0, 4, 6, 6]
    assert chosen.context["species"].tolist() == [2, 1, 0]


def test_what_is_visible_moves_with_its_tokens():
    tokens = replace(three_cells(), visible=torch.tensor([1, 2, 0, 1, 2, 3]))
    chosen = tokens.select(torch.tensor([2, 0])).to("cpu")
    assert chosen.visible.tolist() == [0, 1, 2, 3, 1, 2]


def test_join_is_undone_by_select():
    whole = three_cells()
    joined = Tokens.join([whole.select(torch.tensor([2, 1])), whole.select(torch.tensor([0]))])
    again = joined.select(torch.tensor([2, 1, 0]))
    for name in ("ids", "values", "offsets"):
        assert torch.equal(getattr(again, name), getattr(whole, name))
    assert torch.equal(again.context["species"], whole.context["species"])
    assert joined.visible is None


def test_join_lets_tokens_without_a_limit_see_all():
    blind = replace(three_cells(), visible=torch.zeros(6, dtype=torch.int64))
    assert Tokens.join([blind, three_cells()]).visible.tolist() == [0] * 6 + [2, 2, 4, 4, 4, 4]


def test_a_part_of_hidden_is_its_cells():
    offsets = torch.tensor([0, 2, 2, 3])
    hidden = Hidden(
        torch.arange(3.0)[:, None], torch.arange(3.0)[:, None], offsets, torch.ones(1, 1)
    )
    part = hidden.part(1, 3)
    assert (part.tokens.tolist(), part.cls.tolist()) == ([[2.0]], [[1.0], [2.0]])
    assert part.offsets.tolist() == [0, 0, 1]


def test_cell_index_skips_empty_cells():
    assert three_cells().cell_index.tolist() == [0, 0, 2, 2, 2, 2]


def test_offsets_of_lengths():
    assert offsets_of(torch.tensor([3, 0, 2])).tolist() == [0, 3, 3, 5]


def test_mean_of_an_empty_cell_is_zero():
    hidden = Hidden(
        torch.tensor([[1.0], [3.0], [5.0]]),
        torch.zeros(3, 1),
        torch.tensor([0, 2, 2, 3]),
        torch.zeros(4, 1),
    )
    assert hidden.mean().squeeze(1).tolist() == [2.0, 0.0, 5.0]


def test_annotations_are_checked():
    """Were the run-time check off, a wrong number of dimensions would pass in every test."""
    with pytest.raises(TypeCheckError):
        Tokens(torch.zeros(2, 2, dtype=torch.int32), torch.zeros(2), torch.tensor([0, 2]))


def test_cells_put_counts_in_order_and_leave_the_callers_matrix_alone():
    stored = [4.0, 1.0, 0.0, 3.0, 2.0], [2, 0, 1, 1, 1], [0, 3, 5]
    given = csr_matrix(stored, shape=(2, 3))
    cells = Cells(given, pd.DataFrame(index=list("abc")), pd.DataFrame(index=list("xy")))
    assert cells.counts.indices.tolist() == [0, 2, 1]
    assert cells.counts.data.tolist() == [1, 4, 5]
    assert (given.data.tolist(), given.indices.tolist()) == (stored[0], stored[1])
    assert replace(cells).counts is cells.counts


def test_chance_draws_the_same_reads_however_counts_are_stored(cells):
    order = np.argsort(cells.features.index.to_numpy())
    sorted_, unsorted = (
        replace(cells, counts=counts, features=cells.features.iloc[order])
        for counts in (cells.counts[:, order].sorted_indices(), cells.counts[:, order])
    )
    assert not cells.counts[:, order].has_sorted_indices
    stranger = Laboratory(np.linspace(-1, 1, len(order)), 0.5, 1.0)
    drawn = [
        [rehearsed(one, stranger, 1.0).counts]
        + [
            stress.strained(one, one, 0.5, label_key="cell_type", seed=0)[1].counts
            for stress in (Depth(), Dropout(), Ambient(), Batch())
        ]
        for one in (sorted_, unsorted)
    ]
    assert all((first != second).nnz == 0 for first, second in zip(*drawn, strict=True))
