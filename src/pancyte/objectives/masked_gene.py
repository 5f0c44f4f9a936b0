"""Masked gene prediction: hide which gene stands at a rank, and ask for it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pancyte.objectives.gene import GeneObjective
from pancyte.objectives.objective import Target, choose
from pancyte.shapes import HIDDEN_ID, Tokens


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


class MaskedGene(GeneObjective):
    """Predict which gene stands at a hidden rank from the genes at the other ranks.

    The masked language objective of Geneformer (Theodoris et al., Nature 2023) with BERT's
    80 / 10 / 10 rule. The trivial predictor knows how often each gene stands near each rank,
    because high-expression genes alone carry much of the accuracy.
    """

    name = "masked_gene"
    Config = MaskedGeneConfig

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

    def reads(self, target: Target) -> Tensor:
        """Those at the hidden ranks."""
        return target["positions"]
