"""Masked gene prediction with a table of its own: the pre-training task of Nicheformer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pancyte.objectives.masked_gene import MaskedGene


class LinearGene(MaskedGene):
    """Predict which gene stands at a hidden rank, by one linear map.

    The head of Nicheformer (Schaar, Tejada-Lapuerta et al., 2024), whose answers do not share the
    network's table of genes.
    """

    name = "linear_gene"

    def make_head(self) -> None:
        """Make a vector for each possible answer."""
        self.answer = nn.Linear(self.width, self.features, bias=False)

    def logits(self, asked: Tensor, table: Tensor) -> Tensor:
        """Score every gene as the answer to each question, (questions, features)."""
        return torch.addmm(self.bias, asked, self.answer.weight.T)
