"""Which cells make a loss or a gradient that is not finite."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from pancyte.shapes import Tokens, cell_index
from pancyte.training.network import Network

TRIED = 512
"""Cells that are tried by themselves, at most."""


def culprits(
    network: Network, tokens: Tokens, asked: Callable[[Tokens], Tensor]
) -> tuple[np.ndarray, str]:
    """Find the cells of a share whose loss or gradient is not finite.

    Parameters
    ----------
    network
        Its weights are read, its gradients are overwritten.
    tokens
        The share's cells, before anything is withheld.
    asked
        Cells → their loss.

    Returns
    -------
    rows
        Which cells; none if no cell alone makes it.
    what
        What is wrong with them, for a message.
    """
    broken = ~tokens.values.isfinite()
    if broken.any():
        rows = cell_index(tokens.offsets)[broken].unique().numpy()
        return rows, "whose values are not finite"
    sick = [name for name, weight in network.named_parameters() if not weight.isfinite().all()]
    if sick:
        return np.empty(0, np.int64), f"the weights {sick[0]} are no longer finite"
    tried = min(len(tokens), TRIED)
    rows = np.array([row for row in range(tried) if not _finite(network, tokens, asked, row)], int)
    if len(rows) == tried:
        return np.empty(0, np.int64), "each cell alone does it"
    return rows, "each of which does it alone" if len(rows) else "no cell does it alone"


def _finite(network: Network, tokens: Tokens, asked: Callable[[Tokens], Tensor], row: int) -> bool:
    network.zero_grad(set_to_none=True)
    loss = asked(tokens.select(torch.tensor([row])))
    if not torch.isfinite(loss):
        return False
    loss.backward()
    gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
    return all(math.isfinite(float(gradient.sum())) for gradient in gradients)
