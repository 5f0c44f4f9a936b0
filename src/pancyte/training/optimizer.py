"""AdamW or Muon, and how the learning rate rises and falls."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import nn

from pancyte.training.muon import MuonAdamW

REFERENCE_WIDTH = 128
REFERENCE_RATE = 2e-3


def default_rate(width: int) -> float:
    """Learning rate for a network of this width: 2e-3 at 128, falling with the square root."""
    return REFERENCE_RATE * math.sqrt(REFERENCE_WIDTH / width)


def adamw(modules: Iterable[nn.Module], *, rate: float, decay: float) -> torch.optim.AdamW:
    """Set up AdamW; matrices decay, while vectors and embedding tables do not."""
    matrices, others = divided(modules)
    groups = [
        {"params": matrices, "weight_decay": decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return _adamw(groups, rate)


def muon(modules: Iterable[nn.Module], *, rate: float, decay: float) -> MuonAdamW:
    """Set up Muon for the matrices, which decay, and AdamW for vectors and embedding tables."""
    matrices, others = divided(modules)
    inside = [matrix for matrix in matrices if matrix.ndim == 2 and min(matrix.shape) > 1]
    kept = {id(matrix) for matrix in inside}
    rest = [
        {"params": [m for m in matrices if id(m) not in kept], "weight_decay": decay},
        {"params": others, "weight_decay": 0.0},
    ]
    adam = partial(_adamw, rate=rate)
    groups = [group for group in rest if group["params"]]
    return MuonAdamW(inside, groups, rate=rate, decay=decay, adamw=adam)


OPTIMIZERS: dict[str, Callable[..., torch.optim.AdamW | MuonAdamW]] = {
    "adamw": adamw,
    "muon": muon,
}


def divided(modules: Iterable[nn.Module]) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Divide weights into matrices, and vectors and embedding tables."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for module in modules:
        tables = {id(part.weight) for part in module.modules() if isinstance(part, nn.Embedding)}
        for parameter in module.parameters():
            decays = parameter.ndim >= 2 and id(parameter) not in tables
            (matrices if decays else others).append(parameter)
    return matrices, others


def _adamw(groups: list[dict[str, Any]], rate: float) -> torch.optim.AdamW:
    # one kernel for all weights; on a CPU the step is a small part, and its bytes stay as they were
    fused = all(weight.is_cuda for group in groups for weight in group["params"])
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), eps=1e-8, fused=fused or None)


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
