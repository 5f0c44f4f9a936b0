"""On or off: from the cell's vector, say of a gene whether the cell expresses it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, gelu

from pancyte.objectives.objective import Objective, Target, choose
from pancyte.shapes import Hidden, Tokens, cell_index, offsets_of


@dataclass(frozen=True)
class ExpressedConfig:
    """What is asked.

    Attributes
    ----------
    ratio
        Share of each cell's distinct genes that is taken out of it and asked about.
    absent
        Genes that are not among the cell's tokens asked about for each of those.
    """

    ratio: float = 0.2
    absent: float = 1.0


class Expressed(Objective):
    """Tell genes that were taken out of a cell from genes that it does not express.

    The objective of UCE (Rosen et al., bioRxiv 2023): ``<cls>`` and a gene's own vector go
    through a small network, whose answer is yes or no. A gene is taken out with all its tokens.
    Where a tokenizer leaves expressed genes out of a cell, such a gene may be counted as not
    expressed. The trivial predictor knows how often each gene is the one that was taken out.
    """

    name = "expressed"
    value_kind = "rank"
    Config = ExpressedConfig

    def __init__(self, config: ExpressedConfig, *, width: int, features: int) -> None:
        super().__init__(config, width=width, features=features)
        self.norm = nn.LayerNorm(width)
        self.cell = nn.Linear(width, width)
        self.gene = nn.Linear(width, width, bias=False)
        self.answer = nn.Linear(width, 1)
        self.initialise(0)
        self.usual = torch.zeros(features)

    def corrupt(self, tokens: Tokens, generator: torch.Generator) -> tuple[Tokens, Target]:
        """Take genes out, close the gaps, and draw genes that are not there."""
        keys = tokens.cell_index * self.features + tokens.ids
        distinct = torch.unique(keys)
        cells = distinct // self.features
        lengths = torch.bincount(cells, minlength=len(tokens))
        sets = Tokens(distinct, distinct.new_zeros(len(distinct)).float(), offsets_of(lengths))
        # a cell without tokens has nothing to be asked about
        chosen = distinct[choose(sets, self.config.ratio, generator)]
        kept = ~torch.isin(keys, chosen)
        left = offsets_of(torch.bincount(tokens.cell_index[kept], minlength=len(tokens)))
        places = torch.arange(int(left[-1])) - left[:-1][cell_index(left)]
        seen = replace(tokens, ids=tokens.ids[kept], values=places.float(), offsets=left)
        absent = self._absent(distinct, chosen, generator)
        asked = torch.cat([chosen, absent])
        on = torch.cat([torch.ones(len(chosen)), torch.zeros(len(absent))])
        owners = asked // self.features
        target = {"positions": owners, "cells": owners, "ids": asked % self.features, "on": on}
        return seen, target

    def reads(self, target: Target) -> Tensor:
        """None: the cell's vector answers."""
        return target["positions"][:0]

    def loss(self, hidden: Hidden, target: Target) -> dict[str, Tensor]:
        """Binary cross-entropy of the answers, in nats."""
        cells = self.cell(self.norm(hidden.cls))[target["cells"]]
        guess = self.answer(gelu(cells + self.gene(hidden.table[target["ids"]]))).squeeze(1)
        return {"on": binary_cross_entropy_with_logits(guess.float(), target["on"])}

    def fit_trivial(self, tokens: Tokens) -> None:
        """Count each gene's answers, with half a yes and half a no added."""
        _, target = self.corrupt(tokens, torch.Generator().manual_seed(0))
        yes = torch.bincount(target["ids"], weights=target["on"], minlength=self.features)
        asked = torch.bincount(target["ids"], minlength=self.features)
        self.usual = ((yes + 0.5) / (asked - yes + 0.5)).log().float()

    def trivial_loss(self, target: Target) -> dict[str, Tensor]:
        """Binary cross-entropy of each gene's frequency."""
        guess = self.usual.to(target["on"].device)[target["ids"]]
        return {"on": binary_cross_entropy_with_logits(guess, target["on"])}

    def _absent(self, distinct: Tensor, chosen: Tensor, generator: torch.Generator) -> Tensor:
        """Draw genes that are none of their cell's, as many for each cell as were taken out."""
        taken = torch.bincount(chosen // self.features)
        wanted = (taken * self.config.absent).long()
        cells = torch.repeat_interleave(torch.arange(len(wanted)), wanted)
        ids = torch.randint(self.features, (len(cells),), generator=generator)
        drawn = torch.unique(cells * self.features + ids)
        return drawn[~torch.isin(drawn, distinct)]
