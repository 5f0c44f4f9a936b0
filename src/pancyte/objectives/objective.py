"""The objective contract: hide something of a cell, and score what the network makes of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from pancyte.shapes import Hidden, Tokens

Target = dict[str, Tensor]
"""What was withheld, as named arrays; `positions` are into the corrupted tokens."""


class Objective(nn.Module, ABC):
    """A self-supervised task, with the small head it needs and the guess it has to beat.

    Subclasses set `name`, `value_kind` (which tokens they can work on), take their `Config`, and
    define the four methods below.

    Parameters
    ----------
    config
        The frozen settings.
    width
        Length of the backbone's vectors.
    features
        Size of the vocabulary.
    """

    name: ClassVar[str]
    value_kind: str
    Config: ClassVar[type]

    def __init__(self, config: Any, *, width: int, features: int) -> None:
        super().__init__()
        self.config = config
        self.width = width
        self.features = features

    @abstractmethod
    def corrupt(self, tokens: Tokens, generator: torch.Generator) -> tuple[Tokens, Target]:
        """Withhold part of the cells; return what the network may see and what it must say."""

    @abstractmethod
    def loss(self, hidden: Hidden, target: Target) -> dict[str, Tensor]:
        """Score the network at the withheld positions only; named scalar terms, to be summed."""

    def reads(self, target: Target) -> Tensor | None:
        """Say of which tokens `loss` reads the vectors, besides those of ``<cls>``.

        Positions, or None for all. A backbone may leave the others out.
        """
        return None

    @abstractmethod
    def fit_trivial(self, tokens: Tokens) -> None:
        """Learn the trivial predictor (which ignores the cell) from the training cells."""

    @abstractmethod
    def trivial_loss(self, target: Target) -> dict[str, Tensor]:
        """Score the trivial predictor as `loss` scores the network, term by term."""

    def rivals(self, seen: Tokens, target: Target) -> dict[str, Tensor]:
        """Score further simple predictors, if any, on the same questions: ``{term_name: loss}``."""
        return {}

    def initialise(self, seed: int) -> None:
        """Draw the head's weights anew, as a function of `seed` alone."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, nn.Linear):
                    noise = torch.randn(module.weight.shape, generator=generator)
                    module.weight.copy_(0.02 * noise)
                    if module.bias is not None:
                        module.bias.zero_()
                elif isinstance(module, nn.LayerNorm):
                    module.reset_parameters()

    def tell_detection(self, detection: Tensor) -> None:
        """Take each feature's share of cells that express it, (features,), after `initialise`.

        What is known before the first step need not be learned; by default it is ignored.
        """

    def as_dict(self) -> dict[str, Any]:
        """Name and settings, for ``config.json``."""
        return {"name": self.name, "config": asdict(self.config)}


def choose(tokens: Tokens, ratio: float, generator: torch.Generator) -> Tensor:
    """Choose ``max(1, ⌊ratio · length⌋)`` tokens of every cell at random. Positions, sorted."""
    noise = torch.rand(len(tokens.ids), generator=generator)
    cells = tokens.cell_index
    shuffled = torch.argsort(cells.double() + noise.double(), stable=True)
    place = torch.arange(len(cells)) - tokens.offsets[:-1][cells]
    wanted = (tokens.lengths * ratio).long().clamp(min=1)
    return shuffled[place < wanted[cells]].sort().values
