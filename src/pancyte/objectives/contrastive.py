"""Contrastive pre-training: two halves of a cell should know each other among many cells."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, gelu, normalize

from pancyte.objectives.objective import Objective, Target
from pancyte.objectives.thinning import thin
from pancyte.shapes import Hidden, Tokens, offsets_of


@dataclass(frozen=True)
class ContrastiveConfig:
    """How cells are compared.

    Attributes
    ----------
    temperature
        Similarities are divided by it; the smaller, the more the hardest cells count.
    effects
        0 makes the two views from halves of a cell's genes. Above, both views are whole cells as
        another experiment might have measured them: with a part of the reads, and each gene
        changed in all cells of the view by a factor; this is its standard deviation, in natural
        logarithms. Needs values that tell counts.
    lowest
        With `effects`: a view keeps a share of the reads, drawn between this and 1, evenly in its
        logarithm.
    pooling
        Which vector of a cell is compared: the ``mean`` over its tokens, or ``cls``.
    """

    temperature: float = 0.1
    effects: float = 0.0
    lowest: float = 0.2
    pooling: Literal["mean", "cls"] = "mean"


class Contrastive(Objective):
    """Tell which view belongs to which cell, from halves of its genes or simulated experiments.

    Each cell gives two views, and each view has to find the other among those of the minibatch by
    the cosine of their cell vectors, as in SimCLR (Chen et al., ICML 2020). Halves share no gene,
    and minibatches hold cells of similar length, so depth tells little. Of two simulated
    experiments the views are compared across only, so that what an experiment does to its genes is
    no clue. The trivial predictor finds all cells equally likely.
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
        """Make two views of every cell; the first views come first, then the second ones."""
        if self.config.effects:
            views = [self._measured_again(tokens, generator) for _ in range(2)]
            seen = Tokens.join(views)
        else:
            seen = _halves(tokens, generator)
        return seen, {"positions": torch.arange(2 * len(tokens))}

    def reads(self, target: Target) -> Tensor | None:
        """All of them, or none if ``<cls>`` stands for the cell."""
        return target["positions"][:0] if self.config.pooling == "cls" else None

    def loss(self, hidden: Hidden, target: Target) -> dict[str, Tensor]:
        """Cross-entropy of finding the other view, in nats."""
        pooled = hidden.cls if self.config.pooling == "cls" else hidden.mean()
        cells = normalize(self.project(gelu(self.mix(self.norm(pooled)))).float(), dim=1)
        views = len(cells)
        positions = target["positions"]
        if self.config.effects:
            half = positions >= views // 2
            out = half.unsqueeze(0) == half.unsqueeze(1)
        else:
            out = torch.eye(views, dtype=torch.bool, device=cells.device)
        similar = (cells @ cells.T / self.config.temperature).masked_fill(out, -torch.inf)
        return {"view": cross_entropy(similar, positions.roll(views // 2))}

    def fit_trivial(self, tokens: Tokens) -> None:
        """Learn nothing: an even guess has no parameters."""

    def trivial_loss(self, target: Target) -> dict[str, Tensor]:
        """Cross-entropy of an even guess among the other views."""
        views = target["positions"].new_tensor(len(target["positions"]), dtype=torch.float)
        others = views / 2 if self.config.effects else views - 1
        return {"view": others.clamp(min=1).log()}

    def _measured_again(self, tokens: Tokens, generator: torch.Generator) -> Tokens:
        """Show cells as another experiment might have measured them."""
        rates = self.config.lowest ** torch.rand(len(tokens), generator=generator)
        seen = thin(tokens, rates, generator, needed_by=f"'effects' of {self.name!r}")
        factors = (self.config.effects * torch.randn(self.features, generator=generator)).exp()
        return replace(seen, values=torch.log1p(torch.expm1(seen.values) * factors[seen.ids]))


def _halves(tokens: Tokens, generator: torch.Generator) -> Tokens:
    """Split every cell's genes in two at random."""
    first = torch.rand(len(tokens.ids), generator=generator) < 0.5
    order = torch.cat([first.nonzero().squeeze(1), (~first).nonzero().squeeze(1)])
    view = tokens.cell_index + len(tokens) * (~first)
    lengths = torch.bincount(view, minlength=2 * len(tokens))
    context = {name: codes.repeat(2) for name, codes in tokens.context.items()}
    return Tokens(tokens.ids[order], tokens.values[order], offsets_of(lengths), context)
