"""Masked value prediction: hide how much of a gene there is, and ask for it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, mse_loss

from pancyte.objectives.objective import Objective, Target, choose
from pancyte.shapes import HIDDEN_VALUE, Hidden, Tokens, cell_index, offsets_of


@dataclass(frozen=True)
class MaskedValueConfig:
    """What is withheld.

    Attributes
    ----------
    ratio
        Share of each cell's expressed genes whose value is hidden.
    absent
        Questions about genes that are not expressed, whose answer is 0, for each token of the
        cell. Without them a model is never asked whether a gene is on.
    from_cell
        Weight of the second term: the same answers from the cell's vector and the gene alone.
    """

    ratio: float = 0.3
    absent: float = 0.15
    from_cell: float = 1.0


class MaskedValue(Objective):
    """Predict the hidden values of some genes from the rest of the cell, by squared error.

    The masked objective of scGPT (Cui et al., Nature Methods 2024) and scFoundation, with
    unexpressed genes among the questions. A second term asks the same of the cell's vector
    (the mean over its visible tokens) and the gene's own, as scGPT's "masked value prediction for
    cell modelling" does, which makes that vector a summary of the whole cell. The trivial
    predictor is each gene's mean answer.
    """

    name = "masked_value"
    value_kind = "continuous"
    Config = MaskedValueConfig

    def __init__(self, config: MaskedValueConfig, *, width: int, features: int) -> None:
        super().__init__(config, width=width, features=features)
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Linear(width, width)
        self.answer = nn.Linear(width, 1)
        self.question = nn.Linear(width, width)
        self.usual = nn.Linear(width, 1)
        self.initialise(0)
        self.register_buffer("gene_mean", torch.zeros(features), persistent=False)

    def corrupt(self, tokens: Tokens, generator: torch.Generator) -> tuple[Tokens, Target]:
        """Hide a share of the values, and add unexpressed genes with hidden values."""
        chosen = choose(tokens, self.config.ratio, generator)
        answers = tokens.values.clone()
        asked = torch.zeros(len(answers), dtype=torch.bool)
        asked[chosen] = True
        cells, ids = self._absent(tokens, generator)
        # a stable sort by cell puts each added question behind its own cell's tokens
        order = torch.argsort(torch.cat([tokens.cell_index, cells]), stable=True)
        ids = torch.cat([tokens.ids, ids])[order]
        answers = torch.cat([answers, answers.new_zeros(len(cells))])[order]
        asked = torch.cat([asked, torch.ones(len(cells), dtype=torch.bool)])[order]
        lengths = tokens.lengths + torch.bincount(cells, minlength=len(tokens))
        seen = replace(
            tokens,
            ids=ids,
            values=answers.masked_fill(asked, HIDDEN_VALUE),
            offsets=offsets_of(lengths),
        )
        positions = asked.nonzero().squeeze(1)
        return seen, {
            "positions": positions,
            "ids": ids[positions],
            "cells": seen.cell_index[positions],
            "values": answers[positions],
        }

    def loss(self, hidden: Hidden, target: Target) -> dict[str, Tensor]:
        """Mean squared error at the hidden positions."""
        asked = hidden.tokens[target["positions"]]
        predicted = self.answer(gelu(self.mix(self.norm(asked)))).squeeze(1)
        terms = {"value": mse_loss(predicted.float(), target["values"])}
        if self.config.from_cell:
            genes = hidden.table[target["ids"].long()]
            cells = _visible_mean(hidden, target["positions"])[target["cells"]]
            known = (self.question(genes) * cells).sum(dim=1) + self.usual(genes).squeeze(1)
            terms["cell"] = self.config.from_cell * mse_loss(known.float(), target["values"])
        return terms

    def fit_trivial(self, tokens: Tokens) -> None:
        """Average each gene's answers under one corruption of the training cells."""
        _, target = self.corrupt(tokens, torch.Generator().manual_seed(0))
        ids, values = target["ids"].long(), target["values"]
        total = torch.zeros(self.features).index_add_(0, ids, values)
        asked = torch.bincount(ids, minlength=self.features)
        mean = torch.where(asked > 0, total / asked.clamp(min=1), values.mean())
        self.gene_mean: Any = mean.to(self.answer.weight.device)

    def trivial_loss(self, target: Target) -> dict[str, Tensor]:
        """Mean squared error of the gene means."""
        error = mse_loss(self.gene_mean[target["ids"].long()], target["values"])
        terms = {"value": error, "cell": self.config.from_cell * error}
        return terms if self.config.from_cell else {"value": error}

    def _absent(self, tokens: Tokens, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        wanted = (tokens.lengths * self.config.absent).long()
        cells = torch.repeat_interleave(torch.arange(len(tokens)), wanted)
        ids = torch.randint(self.features, (len(cells),), generator=generator)
        questions = torch.unique(cells * self.features + ids)
        expressed = tokens.cell_index * self.features + tokens.ids
        questions = questions[~torch.isin(questions, expressed)]
        return questions // self.features, (questions % self.features).to(tokens.ids.dtype)


def _visible_mean(hidden: Hidden, withheld: Tensor) -> Tensor:
    """Average each cell's tokens except the withheld ones. (cells, width)."""
    weight = torch.ones(len(hidden.tokens), 1, device=hidden.tokens.device)
    weight[withheld] = 0.0
    cells = cell_index(hidden.offsets)
    total = torch.zeros_like(hidden.cls).index_add_(0, cells, hidden.tokens * weight)
    count = hidden.cls.new_zeros(len(hidden.cls), 1).index_add_(0, cells, weight)
    return total / count.clamp(min=1)
