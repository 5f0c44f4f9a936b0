"""A model's two parts as one module, and how they are asked."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from pancyte.backbones.backbone import Backbone
from pancyte.objectives.objective import Objective, Target
from pancyte.shapes import Tokens

STRIDE = 1_000_003
"""Keeps the random numbers of one seed apart from those of the next."""


class Network(nn.Module):
    """A model's two parts as one module, whose output is the loss."""

    def __init__(self, backbone: Backbone, objective: Objective) -> None:
        super().__init__()
        self.backbone, self.objective = backbone, objective

    def forward(self, seen: Tokens, target: Target) -> dict[str, torch.Tensor]:
        """Return the named terms of the loss."""
        wanted = self.objective.reads(target) if self.backbone.partial else None
        hidden = self.backbone(seen) if wanted is None else self.backbone(seen, only=wanted)
        return self.objective.loss(hidden, target)

    def asked(self, tokens: Tokens, *, seed: int, place: int) -> tuple[Tokens, Target]:
        """Withhold a part of the cells, as a function of the seed and the place in the run."""
        generator = torch.Generator().manual_seed(seed * STRIDE + place)
        seen, target = self.objective.corrupt(tokens, generator)
        device = self.backbone.device
        return seen.to(device), {name: value.to(device) for name, value in target.items()}

    def precision(self) -> AbstractContextManager[Any]:
        """Compute in bf16 on CUDA; elsewhere in fp32."""
        # bf16 matrix products are many times slower than fp32 on CPUs without AMX
        cuda = self.backbone.device.type == "cuda"
        return torch.autocast("cuda", torch.bfloat16) if cuda else nullcontext()
