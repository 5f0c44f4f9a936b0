"""Masked gene prediction with BERT's own head: the pre-training task of Geneformer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, relu

from pancyte.objectives.masked_gene import MaskedGene, MaskedGeneConfig


@dataclass(frozen=True)
class MaskedLanguageConfig(MaskedGeneConfig):
    """What is withheld, as in `MaskedGeneConfig`, and the head.

    Attributes
    ----------
    activation
        As in the network.
    norm_eps
        What the norm adds to the variance.
    """

    activation: Literal["relu", "gelu"] = "relu"
    norm_eps: float = 1e-12


class MaskedLanguage(MaskedGene):
    """Predict which gene stands at a hidden rank, with the head of BERT.

    As Geneformer was trained (Theodoris et al., Nature 2023): a projection, an activation, a norm,
    and the network's own table of genes. Only genes can be the answer; in
    ``transformers.BertForMaskedLM`` special tokens could be too.
    """

    name = "masked_language"
    Config = MaskedLanguageConfig
    config: MaskedLanguageConfig

    def make_head(self) -> None:
        """Make BERT's prediction head, without its table and bias."""
        self.mix = nn.Linear(self.width, self.width)
        self.norm = nn.LayerNorm(self.width, eps=self.config.norm_eps)

    def logits(self, asked: Tensor, table: Tensor) -> Tensor:
        """Score every gene as the answer to each question, (questions, features)."""
        activation = relu if self.config.activation == "relu" else gelu
        return torch.addmm(self.bias, self.norm(activation(self.mix(asked))), table.T)
