"""Masked value prediction: hide how much of a gene there is, and ask for it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from pancyte.objectives.objective import Target
from pancyte.objectives.value import ValueObjective
from pancyte.shapes import HIDDEN_VALUE, Tokens


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
    likelihood
        What is predicted: the value (``"mse"``), or a distribution of the raw count, given the
        cell's depth: negative binomial (``"nb"``), or that with extra zeros (``"zinb"``).
    """

    ratio: float = 0.3
    absent: float = 0.15
    from_cell: float = 1.0
    likelihood: Literal["mse", "nb", "zinb"] = "mse"


class MaskedValue(ValueObjective):
    """Predict the hidden values of some genes from the rest of the cell.

    The masked objective of scGPT (Cui et al., Nature Methods 2024) and scFoundation, with
    unexpressed genes among the questions. A second term asks the same of the cell's vector
    (the mean over its visible tokens) and the gene's own, as scGPT's "masked value prediction for
    cell modelling" does, which makes that vector a summary of the whole cell. The error is squared,
    or a likelihood of counts as in scVI (Lopez et al., Nature Methods 2018). The trivial predictor
    is each gene's mean answer; for counts, its mean at the cell's depth.
    """

    name = "masked_value"
    Config = MaskedValueConfig

    def corrupt(self, tokens: Tokens, generator: torch.Generator) -> tuple[Tokens, Target]:
        """Hide a share of the values, and add unexpressed genes with hidden values."""
        whole, asked = self.ask(tokens, self.config.ratio, generator)
        seen = replace(whole, values=whole.values.masked_fill(asked, HIDDEN_VALUE))
        return seen, self.noted(whole, asked.nonzero().squeeze(1))

    def reads(self, target: Target) -> Tensor | None:
        """Those asked about, unless the cell's vector, the mean of the others, answers as well."""
        return None if self.config.from_cell else target["positions"]
