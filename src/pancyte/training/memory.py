"""How much memory training takes, from what a few cells really take."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

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
        What the forward and the backward pass take at their peak whatever the number of tokens.
    per_token
        The same for each padded token of a share.
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


class Alive(TorchDispatchMode):
    """Counts the bytes of tensors that live at the same time.

    Use it as a context around a forward and a backward pass. What was there before does not count,
    nor does what a kernel allocates for itself.

    Attributes
    ----------
    bytes, peak
        Of what lives now, and of the most that ever did.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bytes = self.peak = 0.0
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run an operation, and note the tensors that it made."""
        made = func(*args, **(kwargs or {}))
        old = {_place(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        for leaf in tree_leaves(made):
            if isinstance(leaf, Tensor) and (place := _place(leaf)) not in old | self._sizes.keys():
                storage = leaf.untyped_storage()
                self._sizes[place] = storage.nbytes()
                self.bytes += storage.nbytes()
                self.peak = max(self.peak, self.bytes)
                weakref.finalize(storage, self._end, place)
        return made

    def _end(self, place: int) -> None:
        self.bytes -= self._sizes.pop(place)


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


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
