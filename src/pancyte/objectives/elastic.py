"""Elastic cell similarity: cells should be clearly alike or clearly not."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize, relu

from pancyte.objectives.objective import Objective, Target
from pancyte.shapes import Hidden, Tokens


@dataclass(frozen=True)
class ElasticConfig:
    """What counts as alike.

    Attributes
    ----------
    threshold
        Cosine that is neither pushed up nor down.
    """

    threshold: float = 0.8


class Elastic(Objective):
    """Push similarities of cells away from a threshold, upwards above it and downwards below.

    The elastic cell similarity of scGPT (Cui et al., Nature Methods 2024), there weighted by 10:
    one minus the mean of (relu(cosine) - threshold)² over the pairs of a minibatch. It withholds
    nothing and has no truth, so it makes sense only as a part of `combined`; cells that are all
    unrelated minimise it. The trivial predictor gives all cells one vector.
    """

    name = "elastic"
    value_kind = "any"
    Config = ElasticConfig

    def corrupt(self, tokens: Tokens, generator: torch.Generator) -> tuple[Tokens, Target]:
        """Show every cell as it is."""
        return tokens, {"positions": torch.arange(len(tokens))}

    def loss(self, hidden: Hidden, target: Target) -> dict[str, Tensor]:
        """One minus the mean squared distance of cosines from the threshold."""
        cells = normalize(hidden.mean().float(), dim=1)
        distance = (relu(cells @ cells.T) - self.config.threshold) ** 2
        others = 1 - torch.eye(len(cells), device=cells.device)
        return {"similarity": 1 - (distance * others).sum() / others.sum().clamp(min=1)}

    def fit_trivial(self, tokens: Tokens) -> None:
        """Learn nothing: one vector for all has no parameters that matter."""

    def trivial_loss(self, target: Target) -> dict[str, Tensor]:
        """Loss of cosines that are all 1."""
        cells = len(target["positions"])
        gap = (1 - self.config.threshold) ** 2 if cells > 1 else 0.0
        return {"similarity": target["positions"].new_tensor(1 - gap, dtype=torch.float)}
