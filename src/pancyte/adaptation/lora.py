"""Small additions to large matrices, trained while the matrices stay as they are."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


class LowRank(nn.Module):
    """Adds the product of two thin matrices to a weight; at first it adds nothing.

    Parameters
    ----------
    weight
        The weight it is for, (outputs, inputs).
    rank
        Width of the thin matrices.
    generator
        Draws the first values of one of them.

    Notes
    -----
    Hu et al. 2021, *LoRA: Low-rank adaptation of large language models*, arXiv:2106.09685, with
    a scale of 1. As a parametrization of the weight it suits any network that uses ``nn.Linear``,
    without a change to its code, which wrapping layers would need.
    """

    def __init__(self, weight: Tensor, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        outputs, inputs = weight.shape
        drawn = torch.randn(rank, inputs, generator=generator) / inputs**0.5
        self.down = nn.Parameter(drawn.to(weight.device))
        self.up = nn.Parameter(torch.zeros(outputs, rank, device=weight.device))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weight with the addition."""
        return weight + self.up @ self.down


def add_low_rank(network: nn.Module, rank: int, *, seed: int = 0) -> list[nn.Parameter]:
    """Freeze a network and give its matrices, but not those of the input, trainable additions.

    Returns
    -------
    What may be trained.
    """
    network.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    trained: list[nn.Parameter] = []
    for _, module in _matrices(network):
        addition = LowRank(module.weight, rank, generator)
        parametrize.register_parametrization(module, "weight", addition)
        trained += [addition.down, addition.up]
    return trained


def _matrices(network: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.Linear) and not name.startswith("embedding"):
            yield name, module
