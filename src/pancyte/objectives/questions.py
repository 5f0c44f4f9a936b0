"""Questions about values: which genes are asked, among them some that the cell does not express."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from pancyte.objectives.objective import Target
from pancyte.shapes import COUNT_SCALE, Hidden, Tokens, cell_index, offsets_of


def with_absent(
    tokens: Tokens, asked: Tensor, *, share: float, features: int, generator: torch.Generator
) -> tuple[Tokens, Tensor]:
    """Add questions about genes that are not expressed, with their answer, 0.

    Parameters
    ----------
    tokens
        Cells with all their values.
    asked
        Which of the tokens are asked about, bool, (tokens,).
    share
        Questions to add for each token of a cell.
    features
        Size of the vocabulary.
    generator
        Source of chance.

    Returns
    -------
    The longer cells, each with its own tokens first, and which of the tokens are asked about.
    """
    cells, ids = _absent(tokens, share, features, generator)
    # a stable sort by cell puts each added question behind its own cell's tokens
    order = torch.argsort(torch.cat([tokens.cell_index, cells]), stable=True)
    values = torch.cat([tokens.values, tokens.values.new_zeros(len(cells))])[order]
    lengths = tokens.lengths + torch.bincount(cells, minlength=len(tokens))
    whole = replace(
        tokens,
        ids=torch.cat([tokens.ids, ids])[order],
        values=values,
        offsets=offsets_of(lengths),
    )
    return whole, torch.cat([asked, torch.ones(len(cells), dtype=torch.bool)])[order]


def answers(whole: Tokens, positions: Tensor) -> Target:
    """Note what has to be said at some positions: gene, cell, value, and scale if it is known."""
    cells = whole.cell_index[positions]
    target = {
        "positions": positions,
        "ids": whole.ids[positions],
        "cells": cells,
        "values": whole.values[positions],
    }
    if COUNT_SCALE in whole.context:
        target["scales"] = whole.context[COUNT_SCALE][cells]
    return target


def visible_mean(hidden: Hidden, withheld: Tensor) -> Tensor:
    """Average each cell's tokens except the withheld ones. (cells, width)."""
    weight = torch.ones(len(hidden.tokens), 1, device=hidden.tokens.device)
    weight[withheld] = 0.0
    cells = cell_index(hidden.offsets)
    total = torch.zeros_like(hidden.cls).index_add_(0, cells, hidden.tokens * weight)
    count = hidden.cls.new_zeros(len(hidden.cls), 1).index_add_(0, cells, weight)
    return total / count.clamp(min=1)


def _absent(
    tokens: Tokens, share: float, features: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    wanted = (tokens.lengths * share).long()
    cells = torch.repeat_interleave(torch.arange(len(tokens)), wanted)
    ids = torch.randint(features, (len(cells),), generator=generator)
    questions = torch.unique(cells * features + ids)
    expressed = tokens.cell_index * features + tokens.ids
    questions = questions[~torch.isin(questions, expressed)]
    return questions // features, (questions % features).to(tokens.ids.dtype)
