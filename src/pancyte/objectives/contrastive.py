"""Contrastive pre-training: two halves of a cell should know each other among many cells."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, gelu, normalize

from pancyte.objectives.objective import Objective, Target
from pancyte.shapes import Hidden, Tokens, offsets_of


@dataclass(frozen=True)
class ContrastiveConfig:
    """How cells are compared.

    Attributes
    ----------
    temperature
        Similarities are divided by it; the smaller, the more the hardest cells count.
    """

    temperature: float = 0.1


class Contrastive(Objective):
    """Tell which half belongs to which cell, from two halves that share no gene.

    Each cell's expressed genes are split at random into two views, and each view has to find the
    other among all views of the minibatch by the cosine of their cell vectors, as in SimCLR
    (Chen et al., ICML 2020). Minibatches hold cells of similar length, so depth tells little. The
    trivial predictor finds all cells equally likely.
    """

    name = "contrastive"
    value_kind = "any"
    Config = ContrastiveConfig

    def __init__(self, config: ContrastiveConfig, *, width: int, features: int) -> None:
        super().__init__(config, width=width, features=features)
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Linear(width, width)
        self.project = nn.Linear(width, width)
        self.initialise(0)

    def corrupt(self, tokens: Tokens, generator: torch.Generator) -> tuple[Tokens, Target]:
        """Split every cell in two; the first views come first, then the second ones."""
        first = torch.rand(len(tokens.ids), generator=generator) < 0.5
        order = torch.cat([first.nonzero().squeeze(1), (~first).nonzero().squeeze(1)])
        view = tokens.cell_index + len(tokens) * (~first)
        lengths = torch.bincount(view, minlength=2 * len(tokens))
        context = {name: codes.repeat(2) for name, codes in tokens.context.items()}
        seen = Tokens(tokens.ids[order], tokens.values[order], offsets_of(lengths), context)
        return seen, {"positions": torch.arange(2 * len(tokens))}

    def loss(self, hidden: Hidden, target: Target) -> dict[str, Tensor]:
        """Cross-entropy of finding the other view, in nats."""
        cells = normalize(self.project(gelu(self.mix(self.norm(hidden.mean())))).float(), dim=1)
        views = len(cells)
        itself = torch.eye(views, dtype=torch.bool, device=cells.device)
        similar = (cells @ cells.T / self.config.temperature).masked_fill(itself, -torch.inf)
        return {"view": cross_entropy(similar, target["positions"].roll(views // 2))}

    def fit_trivial(self, tokens: Tokens) -> None:
        """Learn nothing: an even guess has no parameters."""

    def trivial_loss(self, target: Target) -> dict[str, Tensor]:
        """Cross-entropy of an even guess among the other views."""
        views = target["positions"].new_tensor(len(target["positions"]), dtype=torch.float)
        return {"view": (views - 1).clamp(min=1).log()}
