"""Cells as words: a cell is summed up first, and in training attends to the cells beside it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pancyte.backbones.attention import Padding
from pancyte.backbones.transformer import Transformer, TransformerConfig
from pancyte.errors import UsageError
from pancyte.shapes import Hidden, Tokens, cell_index, offsets_of


@dataclass(frozen=True)
class CellSentenceConfig(TransformerConfig):
    """Further settings as in `TransformerConfig`.

    Attributes
    ----------
    alone
        Share of the cells that are read by themselves in training too, as they are later.
    """

    alone: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.alone <= 1:
            raise UsageError(f"alone is {self.alone}.", fix="Give a share, 0 to 1.")


class CellSentence(Transformer):
    """Reads a cell as the average of its genes' vectors, and mixes cells, not genes, by attention.

    The cells-as-tokens design of CellPLM (Wen et al., ICLR 2024). In training the cells of a
    minibatch are one sentence, behind a learned vector for what is common to all. In use each cell
    is a sentence of its own behind that vector, so that a cell's embedding does not depend on its
    company; what CellPLM gains from neighbours at that time is given up. Attention costs the square
    of the number of cells in a minibatch, not of the genes in a cell.
    """

    name = "cell_sentence"
    Config = CellSentenceConfig
    partial = False

    def __init__(self, config: CellSentenceConfig) -> None:
        super().__init__(config)
        self.expand = nn.Linear(config.width, config.width * config.expansion)
        self.contract = nn.Linear(config.width * config.expansion, config.width)
        self.common = nn.Parameter(torch.empty(config.width))
        self.initialise(0)

    def forward(self, tokens: Tokens, *, skip: int = 0, only: Tensor | None = None) -> Hidden:
        """Average each cell's tokens, mix cells, and add what comes of it to all tokens."""
        self.check_skip(skip)
        table = self.embedding.feature.weight
        embedded, cls = self.embedding(tokens, table)
        cells = cls + _average(embedded, tokens)
        cells = cells + self.contract(nn.functional.gelu(self.expand(cells)))
        order, lengths = self.sentences(len(tokens), embedded.device)
        offsets = offsets_of(lengths + 1)
        at_cell = torch.arange(len(cells), device=embedded.device) + cell_index(offsets_of(lengths))
        at_cell = at_cell + 1
        rows = self.common.expand(int(offsets[-1]), -1).index_copy(0, at_cell, cells[order])
        padding = Padding.of(offsets)
        for layer in self.layers[: self.config.depth - skip]:
            rows = layer(rows, padding)
        mixed = torch.empty_like(cells).index_copy(0, order, rows.index_select(0, at_cell))
        return Hidden(
            embedded + mixed.index_select(0, tokens.cell_index),
            mixed,
            tokens.offsets,
            table,
        )

    def sentences(
        self, cells: int, device: torch.device
    ) -> tuple[Int[Tensor, " cells"], Int[Tensor, " sentences"]]:
        """Order the cells, and say how many each sentence has."""
        alone = torch.ones(cells, dtype=torch.bool)
        if self.training:
            alone = torch.rand(cells) < self.config.alone
        together = cells - int(alone.sum())
        lengths = torch.ones(int(alone.sum()), dtype=torch.int64)
        if together:
            lengths = torch.cat([torch.tensor([together]), lengths])
        return torch.argsort(alone.long(), stable=True).to(device), lengths.to(device)


def _average(
    embedded: Float[Tensor, "tokens width"], tokens: Tokens
) -> Float[Tensor, "cells width"]:
    """Average the tokens that each cell's first token may see, which all may see."""
    cells = tokens.cell_index
    weight = torch.ones_like(cells)
    if tokens.visible is not None:
        first = tokens.offsets[:-1].clamp(max=max(0, len(cells) - 1))
        place = torch.arange(len(cells), device=cells.device) - tokens.offsets[:-1][cells]
        weight = (place < tokens.visible[first][cells]).long()
    counted = torch.zeros_like(tokens.lengths).index_add_(0, cells, weight)
    total = embedded.new_zeros(len(tokens), embedded.shape[1])
    total = total.index_add(0, cells, embedded * weight.unsqueeze(1))
    return total / counted.clamp(min=1).unsqueeze(1)
