"""AdamW, and how the learning rate rises and falls."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

REFERENCE_WIDTH = 128
REFERENCE_RATE = 2e-3


def default_rate(width: int) -> float:
    """Learning rate for a network of this width: 2e-3 at 128, falling with the square root."""
    return REFERENCE_RATE * math.sqrt(REFERENCE_WIDTH / width)


def adamw(modules: Iterable[nn.Module], *, rate: float, decay: float) -> torch.optim.AdamW:
    """Set up AdamW; matrices decay, while vectors and embedding tables do not."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for module in modules:
        tables = {id(part.weight) for part in module.modules() if isinstance(part, nn.Embedding)}
        for parameter in module.parameters():
            decays = parameter.ndim >= 2 and id(parameter) not in tables
            (matrices if decays else others).append(parameter)
    groups = [
        {"params": matrices, "weight_decay": decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), eps=1e-8)


class Average:
    """A running average of a network's weights, which often does better than the last ones.

    Parameters
    ----------
    network
        The weights that are trained.
    factor
        How much of the average each step keeps.

    Notes
    -----
    Polyak & Juditsky, SIAM Journal on Control and Optimization 1992.
    """

    def __init__(self, network: nn.Module, factor: float) -> None:
        self.network, self.factor = network, factor
        self.values = {name: value.detach().clone() for name, value in network.named_parameters()}

    @torch.no_grad()
    def update(self) -> None:
        """Take the present weights into the average."""
        for name, value in self.network.named_parameters():
            self.values[name].lerp_(value, 1 - self.factor)

    @torch.no_grad()
    def apply(self) -> None:
        """Make the average the network's weights."""
        for name, value in self.network.named_parameters():
            value.copy_(self.values[name])


def rate_at(step: int, *, peak: float, warmup: int, steps: int) -> float:
    """Linear warm-up to `peak`, then half a cosine down to a tenth of it."""
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    return peak * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * progress)))
