"""Next gene: from the genes of higher rank, say which comes next."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pancyte.objectives.gene import GeneObjective
from pancyte.objectives.objective import Target, choose
from pancyte.shapes import Hidden, Tokens


@dataclass(frozen=True)
class NextGeneConfig:
    """How much is asked.

    Attributes
    ----------
    ratio
        Share of each cell's genes that is asked for; the rest is read only. Scores over a whole
        vocabulary take more memory than the network does.
    """

    ratio: float = 0.3


class NextGene(GeneObjective):
    """Predict which gene has the next rank, from the genes above it only.

    A language model of cells, as tGPT (Shen et al., iScience 2023) and Cell2Sentence (Levine et
    al., ICML 2024): each token sees those of higher rank and itself; what precedes the first is
    ``<cls>``. The trivial predictor knows how often each gene stands near each rank.
    """

    name = "next_gene"
    Config = NextGeneConfig

    def corrupt(self, tokens: Tokens, generator: torch.Generator) -> tuple[Tokens, Target]:
        """Hide from each gene those that follow."""
        positions = choose(tokens, self.config.ratio, generator)
        cells = tokens.cell_index
        places = torch.arange(len(cells)) - tokens.offsets[:-1][cells]
        target = {
            "positions": positions,
            "ids": tokens.ids[positions],
            "ranks": tokens.values[positions],
            "places": places[positions],
            "cells": cells[positions],
        }
        return replace(tokens, visible=places), target

    def asked(self, hidden: Hidden, target: Target) -> Tensor:
        """Return the vector of the token before each, ``<cls>`` before the first."""
        before = hidden.tokens[(target["positions"] - 1).clamp(min=0)]
        first = (target["places"] == 0).unsqueeze(1)
        return torch.where(first, hidden.cls[target["cells"]], before)
