"""How much memory training takes, from what the network really keeps for its backward pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

# PyTorch's allocator, and oneDNN where it finds no room for a product of matrices
ON_A_CPU = ("can't allocate memory", "could not create a primitive")


@dataclass(frozen=True)
class Need:
    """Bytes that training takes at its peak, beyond what the program and its data take.

    Attributes
    ----------
    weights, gradients, optimizer, average
        Grow with the network. `average` is that of the weights, if there is one.
    activations
        Kept for the backward pass whatever the number of tokens.
    per_token
        The same for each padded token of a share, with what the backward pass itself takes.
    """

    weights: float
    gradients: float
    optimizer: float
    average: float
    activations: float
    per_token: float

    @property
    def fixed(self) -> float:
        """What does not depend on the tokens."""
        state = self.weights + self.gradients + self.optimizer + self.average
        return state + self.activations

    def total(self, tokens: float) -> float:
        """Add up, for a share of so many padded tokens."""
        return self.fixed + self.per_token * tokens

    def tokens_within(self, memory: float) -> float:
        """Say how many padded tokens a share may have so that all fits."""
        return max(0.0, memory - self.fixed) / self.per_token


class Kept:
    """Counts the bytes that a forward pass keeps for the backward pass.

    Use it as a context around the forward pass. A tensor that is kept twice, or of which several
    parts are kept, counts once; weights do not count.
    """

    def __init__(self, network: nn.Module) -> None:
        self._weights = {id_of(parameter) for parameter in network.parameters()}
        self._seen: dict[int, int] = {}
        # what is counted must live until the end, or another tensor could take its place
        self._alive: list[Tensor] = []
        self._hooks = saved_tensors_hooks(self._pack, lambda kept: kept)

    def __enter__(self) -> Kept:
        self._hooks.__enter__()
        return self

    def __exit__(self, *failure: Any) -> None:
        self._hooks.__exit__(*failure)
        self._alive.clear()

    @property
    def bytes(self) -> float:
        """What was kept."""
        return float(sum(self._seen.values()))

    def _pack(self, kept: Tensor) -> Tensor:
        if id_of(kept) not in self._weights:
            self._seen[id_of(kept)] = kept.untyped_storage().nbytes()
            self._alive.append(kept)
        return kept


def id_of(tensor: Tensor) -> int:
    """Tell tensors apart by where their numbers lie."""
    return tensor.untyped_storage().data_ptr()


def state_bytes(
    network: nn.Module, *, optimizer: str, ema: bool
) -> tuple[float, float, float, float]:
    """Return the bytes of weights, gradients, optimizer and average of a network.

    Parameters
    ----------
    network
        The network.
    optimizer
        ``adamw`` keeps two numbers for each weight, ``muon`` one for each weight of a matrix.
    ema
        Whether the weights are averaged.
    """
    sizes = [(p.numel() * p.element_size(), p.ndim) for p in network.parameters()]
    weights = float(sum(size for size, _ in sizes))
    moments = sum(size * (1 if optimizer == "muon" and ndim == 2 else 2) for size, ndim in sizes)
    return weights, weights, float(moments), weights * ema


def out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that a device had not enough memory."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in ON_A_CPU)
    )
