"""What the objectives that ask for a gene's identity share: a head, and genes usual at a rank."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, gelu, nll_loss

from pancyte.objectives.objective import Objective, Target
from pancyte.shapes import Hidden, Tokens

RANKS_PER_OCTAVE = 4
RANK_BINS = 64
RAREST = 1e-5
"""Share of cells below which a gene counts as this rare: 0 has no logarithm."""


class GeneObjective(Objective):
    """Ask which gene stands at a rank; the target tells the true `ids` and their `ranks`."""

    value_kind = "rank"

    def __init__(self, config: Any, *, width: int, features: int) -> None:
        super().__init__(config, width=width, features=features)
        self.make_head()
        self.bias = nn.Parameter(torch.zeros(features))
        self.initialise(0)
        self.register_buffer("by_rank", torch.zeros(0, 0), persistent=False)

    def make_head(self) -> None:
        """Make what `logits` needs besides the vocabulary's table and a bias."""
        self.norm = nn.LayerNorm(self.width)
        self.mix = nn.Linear(self.width, self.width)
        self.norm_mixed = nn.LayerNorm(self.width)

    def logits(self, asked: Tensor, table: Tensor) -> Tensor:
        """Score every gene as the answer to each question, (questions, features)."""
        answer = self.norm_mixed(gelu(self.mix(self.norm(asked))))
        # both factors have entries of order one, so their product would grow with the width; it is
        # held in check before the product, which has many times more entries
        return torch.addmm(self.bias, answer * self.width**-0.5, table.T)

    @torch.no_grad()
    def tell_detection(self, detection: Tensor) -> None:
        """Start from how often each gene is the answer, whatever the cell."""
        common = detection.clamp(min=RAREST).log()
        # only differences matter; around 0 a gene that is added later is an average one
        self.bias.copy_(common - common.mean())

    def asked(self, hidden: Hidden, target: Target) -> Tensor:
        """Return the vector that answers each question, (questions, width)."""
        return hidden.tokens[target["positions"]]

    def loss(self, hidden: Hidden, target: Target) -> dict[str, Tensor]:
        """Cross-entropy over the vocabulary at the positions asked about, in nats."""
        logits = self.logits(self.asked(hidden, target), hidden.table)
        return {"gene": cross_entropy(logits.float(), target["ids"].long())}

    def fit_trivial(self, tokens: Tokens) -> None:
        """Count which gene stands near which rank, with add-one smoothing."""
        cell = _rank_bin(tokens.values) * self.features + tokens.ids.long()
        counts = torch.bincount(cell, minlength=RANK_BINS * self.features).float() + 1
        table = counts.view(RANK_BINS, self.features)
        self.by_rank: Any = (table / table.sum(1, keepdim=True)).log().to(self.bias.device)

    def trivial_loss(self, target: Target) -> dict[str, Tensor]:
        """Cross-entropy of the rank-wise frequencies."""
        guess = self.by_rank[_rank_bin(target["ranks"])]
        return {"gene": nll_loss(guess, target["ids"].long())}


def _rank_bin(ranks: Tensor) -> Tensor:
    octave = RANKS_PER_OCTAVE * torch.log2(ranks + 1)
    return octave.long().clamp(max=RANK_BINS - 1)
