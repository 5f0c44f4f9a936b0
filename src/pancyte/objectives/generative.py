"""Generation: from the genes that are told, say how much there is of genes that are only named."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch

from pancyte.objectives.objective import Target
from pancyte.objectives.value import ValueObjective
from pancyte.shapes import HIDDEN_VALUE, Tokens


@dataclass(frozen=True)
class GenerativeConfig:
    """What is withheld.

    Attributes
    ----------
    ratios
        Shares of each cell's expressed genes to generate; each minibatch draws one.
    absent
        Questions about genes that are not expressed, for each token of the cell; the answer is 0.
    from_cell
        Weight of the second term: the same answers from the cell's vector and the gene alone.
    likelihood
        As in `MaskedValueConfig`.
    """

    ratios: tuple[float, ...] = (0.25, 0.5, 0.75)
    absent: float = 0.15
    from_cell: float = 1.0
    likelihood: Literal["mse", "nb", "zinb"] = "mse"


class Generative(ValueObjective):
    """Generate the values of some genes from the others, each without regard to what else is asked.

    The generative pre-training of scGPT (Cui et al., Nature Methods 2024): perception tokens (gene
    and value) see one another; a generation token (gene only) sees them and itself. So an answer
    does not depend on which other genes are asked, and genes can be asked in any number. The
    trivial predictor is that of `MaskedValue`.
    """

    name = "generative"
    Config = GenerativeConfig

    def corrupt(self, tokens: Tokens, generator: torch.Generator) -> tuple[Tokens, Target]:
        """Hide a share of the values, and put those genes behind the others, out of their sight."""
        drawn = torch.randint(len(self.config.ratios), (1,), generator=generator)
        whole, asked = self.ask(tokens, self.config.ratios[int(drawn)], generator)
        told = torch.bincount(whole.cell_index[~asked], minlength=len(whole))
        order = torch.argsort(whole.cell_index * 2 + asked, stable=True)
        asked = asked[order]
        whole = replace(
            whole,
            ids=whole.ids[order],
            values=whole.values[order],
            visible=told[whole.cell_index],
        )
        seen = replace(whole, values=whole.values.masked_fill(asked, HIDDEN_VALUE))
        return seen, self.noted(whole, asked.nonzero().squeeze(1))
