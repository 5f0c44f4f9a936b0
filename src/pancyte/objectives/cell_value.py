"""Value from the cell: ask a cell's vector alone how much there is of each withheld gene."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from pancyte.objectives.objective import Target
from pancyte.objectives.value import ValueObjective
from pancyte.shapes import Hidden, Tokens, offsets_of


@dataclass(frozen=True)
class CellValueConfig:
    """What is withheld.

    Attributes
    ----------
    ratio
        Share of each cell's expressed genes that is left out and asked about.
    absent
        Questions about genes that are not expressed, for each token of the cell; the answer is 0.
    likelihood
        As in `MaskedValueConfig`.
    """

    ratio: float = 0.3
    absent: float = 0.15
    likelihood: Literal["mse", "nb", "zinb"] = "mse"


class CellValue(ValueObjective):
    """Predict the values of left-out genes from the cell's vector, by an inner product with each.

    The "masked value prediction for cell modelling" of scGPT (Cui et al., Nature Methods 2024) by
    itself. Since only the cell's vector answers, the genes asked about need no tokens: the network
    reads fewer, and cannot know what will be asked. The trivial predictor is that of `MaskedValue`.
    """

    name = "cell_value"
    Config = CellValueConfig
    from_tokens: ClassVar[bool] = False

    @property
    def from_cell(self) -> float:
        """Weight of the only term."""
        return 1.0

    def corrupt(self, tokens: Tokens, generator: torch.Generator) -> tuple[Tokens, Target]:
        """Leave out a share of the genes."""
        whole, asked = self.ask(tokens, self.config.ratio, generator)
        left = torch.bincount(whole.cell_index[~asked], minlength=len(whole))
        seen = replace(
            whole, ids=whole.ids[~asked], values=whole.values[~asked], offsets=offsets_of(left)
        )
        target = self.noted(whole, asked.nonzero().squeeze(1))
        return seen, {**target, "positions": target["cells"]}

    def cell_vectors(self, hidden: Hidden, target: Target) -> Tensor:
        """Average each cell's tokens, none of which is asked about. (cells, width)."""
        return hidden.mean()
