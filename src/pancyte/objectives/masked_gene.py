"""Masked gene prediction: hide which gene stands at a rank, and ask for it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, gelu, nll_loss

from pancyte.objectives.objective import Objective, Target, choose
from pancyte.shapes import HIDDEN_ID, Hidden, Tokens

RANKS_PER_OCTAVE = 4
RANK_BINS = 64


@dataclass(frozen=True)
class MaskedGeneConfig:
    """What is withheld.

    Attributes
    ----------
    ratio
        Share of each cell's tokens to be guessed.
    replaced
        Share of those shown as a random gene instead of hidden.
    kept
        Share of those shown as they are.
    """

    ratio: float = 0.15
    replaced: float = 0.1
    kept: float = 0.1


class MaskedGene(Objective):
    """Predict which gene stands at a hidden rank from the genes at the other ranks.

    The masked language objective of Geneformer (Theodoris et al., Nature 2023) with BERT's
    80 / 10 / 10 rule. The trivial predictor knows how often each gene stands near each rank,
    because high-expression genes alone carry much of the accuracy.
    """

    name = "masked_gene"
    value_kind = "rank"
    Config = MaskedGeneConfig

    def __init__(self, config: MaskedGeneConfig, *, width: int, features: int) -> None:
        super().__init__(config, width=width, features=features)
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Linear(width, width)
        self.norm_mixed = nn.LayerNorm(width)
        self.bias = nn.Parameter(torch.zeros(features))
        self.initialise(0)
        self.register_buffer("by_rank", torch.zeros(0, 0), persistent=False)

    def corrupt(self, tokens: Tokens, generator: torch.Generator) -> tuple[Tokens, Target]:
        """Hide, replace or keep a share of the gene identities; ranks stay visible."""
        positions = choose(tokens, self.config.ratio, generator)
        truth = tokens.ids[positions]
        fate = torch.rand(len(positions), generator=generator)
        random = torch.randint(self.features, (len(positions),), generator=generator)
        shown = torch.full_like(truth, HIDDEN_ID)
        replaced = fate < self.config.replaced
        kept = ~replaced & (fate < self.config.replaced + self.config.kept)
        shown[replaced] = random[replaced].to(truth.dtype)
        shown[kept] = truth[kept]
        ids = tokens.ids.clone()
        ids[positions] = shown
        target = {"positions": positions, "ids": truth, "ranks": tokens.values[positions]}
        return replace(tokens, ids=ids), target

    def loss(self, hidden: Hidden, target: Target) -> dict[str, Tensor]:
        """Cross-entropy over the vocabulary at the hidden positions, in nats."""
        asked = hidden.tokens[target["positions"]]
        asked = self.norm_mixed(gelu(self.mix(self.norm(asked))))
        # both factors have entries of order one, so their product would grow with the width
        logits = asked @ hidden.table.T * self.width**-0.5 + self.bias
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
