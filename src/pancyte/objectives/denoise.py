"""Denoising: from a cell as if it were sequenced less deeply, say what the deeper one showed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from pancyte.objectives.objective import Target
from pancyte.objectives.questions import visible_mean, with_absent
from pancyte.objectives.thinning import thin
from pancyte.objectives.value import ValueObjective
from pancyte.shapes import COUNT_SCALE, HIDDEN_VALUE, Hidden, Tokens


@dataclass(frozen=True)
class DenoiseConfig:
    """What is withheld.

    Attributes
    ----------
    lowest
        Each cell keeps a share of its reads, drawn between this and 1, evenly in its logarithm.
    absent
        Questions about genes that are not expressed, for each token of the cell; the answer is 0.
    from_cell
        Weight of the second term: the same answers from the cell's vector and the gene alone.
    depth
        Whether the head is told the depth it sees and the depth it is asked for.
    likelihood
        As in `MaskedValueConfig`.
    """

    lowest: float = 0.1
    absent: float = 0.15
    from_cell: float = 1.0
    depth: bool = True
    likelihood: Literal["mse", "nb", "zinb"] = "mse"


class Denoise(ValueObjective):
    """Predict every value at full depth from the cell with a part of its reads.

    The read-depth-aware objective of scFoundation (Hao et al., Nature Methods 2024), with reads
    removed by binomial thinning. Its two depth tokens are here two numbers given to the head, so
    that the cell's vector need not carry the depth. Genes that lost all reads, and as many more
    as `absent` says, are asked about with a hidden value. The trivial predictor is each gene's mean
    value; a rival, whose loss is named ``value_as_seen``, repeats the value it sees.
    """

    name = "denoise"
    Config = DenoiseConfig

    def __init__(self, config: DenoiseConfig, *, width: int, features: int) -> None:
        super().__init__(config, width=width, features=features)
        if config.depth:
            self.depth = nn.Linear(2, width)
            self.initialise(0)

    def corrupt(self, tokens: Tokens, generator: torch.Generator) -> tuple[Tokens, Target]:
        """Thin each cell, hide what lost all reads, and add genes that are not expressed."""
        rates = self.config.lowest ** torch.rand(len(tokens), generator=generator)
        nothing = torch.zeros(len(tokens.ids), dtype=torch.bool)
        whole, _ = with_absent(
            tokens, nothing, share=self.config.absent, features=self.features, generator=generator
        )
        seen = thin(whole, rates, generator, needed_by=f"The objective {self.name!r}")
        lost = seen.values == 0
        target = self.noted(whole, torch.arange(len(whole.ids)))
        target["shown"] = seen.values
        target["withheld"] = lost.nonzero().squeeze(1)
        target["seen_scales"] = seen.context[COUNT_SCALE][target["cells"]]
        return replace(seen, values=seen.values.masked_fill(lost, HIDDEN_VALUE)), target

    def asked(self, hidden: Hidden, target: Target) -> Tensor:
        """Add both depths to the vector that answers."""
        vectors = hidden.tokens[target["positions"]]
        if not self.config.depth:
            return vectors
        depths = torch.stack([target["seen_scales"], target["scales"]], dim=1)
        return vectors + self.depth(-depths.log())

    def cell_vectors(self, hidden: Hidden, target: Target) -> Tensor:
        """Average each cell's tokens that have a read left, (cells, width)."""
        return visible_mean(hidden, target["withheld"])

    def rivals(self, seen: Tokens, target: Target) -> dict[str, Tensor]:
        """Score also the thinned value as it stands."""
        rivals = super().rivals(seen, target)
        if self.config.likelihood == "mse":
            rivals["value_as_seen"] = mse_loss(target["shown"], target["values"])
        return rivals
