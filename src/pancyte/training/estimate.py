"""What a step will cost, from a few cells that go through the network before training begins."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from pancyte.shapes import Tokens
from pancyte.training.device import clock
from pancyte.training.flops import Work, count
from pancyte.training.memory import Kept, Need, state_bytes
from pancyte.training.network import Network
from pancyte.training.recompute import layers_of, recomputed

COUNTED = 2048
"""Padded tokens whose work is counted at most."""
CELLS = 4
"""Cells whose work is counted at most: it is linear and quadratic in the length, no more."""
TRIED = 4096
"""Padded tokens that are trained on, without taking the step, to see how long it takes."""
BACKWARD = 1.15
"""What the backward pass takes beside what was kept for it; an assumption, see docs/runs.md."""


@dataclass(frozen=True)
class Trial:
    """A network and how the loop will train it.

    Attributes
    ----------
    network
        Backbone and objective.
    optimizer, ema, recompute
        As in `LoopConfig`.
    """

    network: Network
    optimizer: str = "adamw"
    ema: bool = False
    recompute: bool = False

    def work(self, tokens: Tokens) -> Work:
        """Count floating-point operations."""
        few = first(tokens, COUNTED)
        return count(self.network, few.select(torch.arange(min(CELLS, len(few)))))

    def need(self, tokens: Tokens) -> Need:
        """Estimate memory: the slope and the start of a line through two sizes of a share."""
        few, many = first(tokens, TRIED // 2), first(tokens, TRIED)
        small, large = padded(few), padded(many)
        kept = self._kept(few), self._kept(many)
        slope = (kept[1] - kept[0]) / (large - small) if large > small else kept[1] / large
        start = max(0.0, kept[1] - slope * large)
        state = state_bytes(self.network, optimizer=self.optimizer, ema=self.ema)
        return Need(*state, start, BACKWARD * slope)

    def seconds_per_flop(self, tokens: Tokens, work: Work) -> float:
        """Train on a share twice, without taking a step, and time the second time."""
        few, device = first(tokens, TRIED), self.network.backbone.device
        taken = 0.0
        for _ in range(2):
            began = clock(device)
            with recomputed(self.network.backbone, wanted=self.recompute):
                self._loss(few).backward()
            taken = clock(device) - began
            self.network.zero_grad(set_to_none=True)
        return taken / work.of(few.lengths.numpy())

    def _loss(self, tokens: Tokens) -> torch.Tensor:
        with self.network.precision():
            terms = self.network(*self.network.asked(tokens, seed=0, place=0))
            return torch.stack(list(terms.values())).sum()

    def _kept(self, tokens: Tokens) -> float:
        with Kept(self.network) as all_of_it:
            loss = self._loss(tokens)
        del loss
        if not self.recompute:
            return all_of_it.bytes
        backbone, layers = self.network.backbone, len(layers_of(self.network.backbone))
        with Kept(self.network) as outside, recomputed(backbone):
            loss = self._loss(tokens)
        del loss
        # the inputs of all layers stay, and one layer at a time is whole
        inputs = layers * 4.0 * backbone.width * (len(tokens.ids) + len(tokens))
        return outside.bytes + inputs + (all_of_it.bytes - outside.bytes) / max(1, layers)


def first(tokens: Tokens, budget: int) -> Tokens:
    """Return the first cells that fit into so many padded tokens, at least one."""
    longest = (tokens.lengths + 1).cummax(0).values
    fits = longest * torch.arange(1, len(tokens) + 1) <= budget
    return tokens.select(torch.arange(max(1, int(fits.sum()))))


def padded(tokens: Tokens) -> int:
    """Count tokens with the padding."""
    return len(tokens) * (int(tokens.lengths.max()) + 1)


def parameters(network: nn.Module) -> int:
    """Count the weights of a network."""
    return sum(parameter.numel() for parameter in network.parameters())
