"""Adversarial batch: a cell's vector should not tell where the cell was measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, gelu, nll_loss

from pancyte.errors import UsageError
from pancyte.objectives.objective import Objective, Target
from pancyte.shapes import Hidden, Tokens


@dataclass(frozen=True)
class AdversarialConfig:
    """What should not be told.

    Attributes
    ----------
    column
        Per-cell column, one of the tokenizer's `context`.
    levels
        At least the number of its levels.
    strength
        What the reversed gradient is multiplied by.
    """

    column: str = "dataset"
    levels: int = 64
    strength: float = 1.0


class Reverse(torch.autograd.Function):
    """Does nothing forward, and turns the gradient round backward (Ganin et al., JMLR 2016)."""

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, strength: float) -> Tensor:
        """Return the vectors."""
        ctx.strength = strength
        return vectors.view_as(vectors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Return the reversed gradient."""
        return -ctx.strength * gradients[0], None


class Adversarial(Objective):
    """Learn to tell a cell's assay or dataset from its vector, while the network unlearns to.

    A discriminator reads each cell's vector through a gradient reversal, as in domain-adversarial
    training (Ganin et al., JMLR 2016) and scGPT's domain adaptation. The network should bring the
    loss *up* to that of the trivial predictor, which knows how frequent each level is: the
    discriminator then knows no more. Cells of unknown level are not asked. Pointless by itself: a
    part of `combined`.
    """

    name = "adversarial"
    value_kind = "any"
    Config = AdversarialConfig

    def __init__(self, config: AdversarialConfig, *, width: int, features: int) -> None:
        super().__init__(config, width=width, features=features)
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Linear(width, width)
        self.tell = nn.Linear(width, config.levels)
        self.initialise(0)
        self.register_buffer("frequencies", torch.zeros(config.levels), persistent=False)

    def corrupt(self, tokens: Tokens, generator: torch.Generator) -> tuple[Tokens, Target]:
        """Show every cell as it is, and ask for its level where that is known."""
        codes = self._codes(tokens)
        positions = (codes > 0).nonzero().squeeze(1)
        return tokens, {"positions": positions, "codes": codes[positions] - 1}

    def loss(self, hidden: Hidden, target: Target) -> dict[str, Tensor]:
        """Cross-entropy of telling the level, in nats; the network gets its gradient reversed."""
        cells = Reverse.apply(hidden.mean()[target["positions"]], self.config.strength)
        logits = self.tell(gelu(self.mix(self.norm(cells)))).float()
        asked = max(1, len(target["codes"]))
        return {"level": cross_entropy(logits, target["codes"], reduction="sum") / asked}

    def fit_trivial(self, tokens: Tokens) -> None:
        """Count the levels, with add-one smoothing."""
        codes = self._codes(tokens)
        counts = torch.bincount(codes[codes > 0] - 1, minlength=self.config.levels).float() + 1
        self.frequencies: Any = (counts / counts.sum()).log().to(self.tell.weight.device)

    def trivial_loss(self, target: Target) -> dict[str, Tensor]:
        """Cross-entropy of the frequencies."""
        guess = self.frequencies.expand(len(target["codes"]), -1)
        asked = max(1, len(target["codes"]))
        return {"level": nll_loss(guess, target["codes"], reduction="sum") / asked}

    def _codes(self, tokens: Tokens) -> Tensor:
        column = self.config.column
        if column not in tokens.context:
            raise UsageError(
                f"The objective {self.name!r} needs the column {column!r} of each cell; the tokens "
                f"tell {', '.join(map(repr, tokens.context)) or 'none'}.",
                fix=f"Name it and its levels in the tokenizer: context: {{{column}: [...]}}.",
            )
        codes = tokens.context[column]
        if len(codes) and int(codes.max()) > self.config.levels:
            raise UsageError(
                f"The column {column!r} has {int(codes.max())} levels or more, and the objective "
                f"{self.name!r} room for {self.config.levels}.",
                fix="Raise its setting 'levels'.",
            )
        return codes
