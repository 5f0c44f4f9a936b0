"""The backbone contract: tokens in, a vector for each token and each cell out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, ClassVar, Literal

import torch
from torch import nn

from pancyte.errors import UsageError
from pancyte.shapes import Hidden, Tokens

Pooling = Literal["mean", "cls", "own"]
"""A cell's one vector: the mean of its tokens', that of ``<cls>``, or the network's own way."""


@contextmanager
def reproducible(device: torch.device) -> Iterator[None]:
    """Give the same bytes for the same input and number of threads, on a CPU.

    Without this PyTorch sums scattered rows in whatever order its threads reach them.
    """
    # filling new memory only helps to find reads of what was never written, and costs a third more
    memory: Any = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), memory.fill_uninitialized_memory
    if device.type == "cpu":
        torch.use_deterministic_algorithms(True)
        memory.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        memory.fill_uninitialized_memory = before[1]


class Backbone(nn.Module, ABC):
    """A plain ``nn.Module`` with a frozen configuration.

    Subclasses set `name`, take their `Config` and define `forward`.
    """

    name: ClassVar[str]
    Config: ClassVar[type]
    together: bool = False
    """Whether cells read at the same time see one another, so that they must not be parted."""

    partial: bool = False
    """Whether `forward` takes ``only``: positions of the tokens whose vectors are wanted, besides
    those of ``<cls>``. What nobody reads need not be computed in the last layer."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config

    @property
    @abstractmethod
    def width(self) -> int:
        """Length of the vectors it returns."""

    @abstractmethod
    def forward(self, tokens: Tokens, *, skip: int = 0) -> Hidden:
        """Read packed tokens; return packed vectors in the same order, `skip` layers early.

        No token's vector may depend on one that `Tokens.visible` does not let it see.
        """

    def pooled(self, tokens: Tokens, *, pooling: Pooling, skip: int = 0) -> torch.Tensor:
        """Return one vector for each cell, (cells, `pooled_width`).

        A backbone may leave out what does not reach these vectors, and may have a pooling of its
        own, as some published models do.
        """
        self.pooled_width(pooling)
        only = self.reads_for(pooling, tokens)
        hidden = self(tokens, skip=skip) if only is None else self(tokens, skip=skip, only=only)
        return hidden.cls if pooling == "cls" else hidden.mean()

    def reads_for(self, pooling: Pooling, tokens: Tokens) -> torch.Tensor | None:
        """Say which tokens' vectors a pooling reads; None if all, or if all are computed anyway."""
        return tokens.offsets.new_zeros(0) if self.partial and pooling == "cls" else None

    def pooled_width(self, pooling: Pooling) -> int:
        """Length of the vectors that `pooled` returns.

        Raises
        ------
        UsageError
            If this backbone has no pooling of its own, but is asked for it.
        """
        if pooling == "own":
            raise UsageError(
                f"The backbone {self.name!r} has no pooling of its own.", fix="Use mean or cls."
            )
        return self.width

    @abstractmethod
    def initialise(self, seed: int) -> None:
        """Draw all weights anew, as a function of `seed` alone."""

    def check_skip(self, skip: int) -> None:
        """Refuse to leave out more layers than there are.

        Raises
        ------
        UsageError
            With how many there are.
        """
        if not 0 <= skip <= self.config.depth:
            raise UsageError(
                f"{skip} layers cannot be left out of {self.config.depth}.",
                fix="Give a smaller skip.",
            )

    def tell_priors(self, vectors: torch.Tensor) -> None:
        """Take prior vectors of the features, (features, dims), zeros where there is none.

        A backbone that can has a setting `prior`, the length of the vectors, and a buffer of that
        name among its features; it is told before `initialise`.

        Raises
        ------
        UsageError
            If this backbone cannot.
        """
        raise UsageError(
            f"The backbone {self.name!r} was built without priors.",
            fix="Give it the setting 'prior', or leave the run's priors out.",
        )

    def tell_usual(self, values: torch.Tensor) -> None:
        """Take each feature's usual value, (features,), after `initialise`; by default, ignore it.

        What all cells have in common tells none apart, and a backbone may take it off.
        """

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def as_dict(self) -> dict[str, Any]:
        """Name and settings, for ``config.json``."""
        return {"name": self.name, "config": asdict(self.config)}
