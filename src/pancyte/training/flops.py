"""How much arithmetic a network does for its tokens, counted rather than guessed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from pancyte.shapes import Tokens
from pancyte.training.network import Network

FORWARD_AND_BACKWARD = 3.0
"""The backward pass multiplies each matrix twice, the forward pass once."""


@dataclass(frozen=True)
class Work:
    """Floating-point operations of training, as a function of the cells' lengths.

    Attributes
    ----------
    per_token
        Of the matrices, for each token of a cell.
    per_pair
        Of the attention scores and what they weigh, for each pair of tokens of the same cell.
    per_share
        Whatever the cells are, such as a projection of all genes' priors.

    Notes
    -----
    Matrix products only, 2 operations for each multiply-add; looking up an embedding, norms and
    activations count nothing. With a width d, L layers, an inner width f and q questions a token
    `per_token` is about 6·L·(4d² + 2df) + 6·q·(the head) and `per_pair` 12·L·d, less what the last
    layer leaves out because the loss does not read it: the model's operations in the sense of
    Chowdhery et al., PaLM, 2022, appendix B. What a kernel does on top (padding, recomputed
    activations) is not useful work and not in it.
    """

    per_token: float
    per_pair: float
    per_share: float = 0.0

    def of(self, lengths: np.ndarray) -> float:
        """Count the operations of training on a share with cells of these lengths once."""
        long = lengths.astype(np.float64)
        cells = self.per_token * long.sum() + self.per_pair * np.square(long).sum()
        return self.per_share + float(cells)


def count(network: Network, cells: Tokens) -> Work:
    """Count a network's work on some cells, each by itself, and express it by their lengths."""
    once = [_counted(network, cells, [cell]) for cell in range(len(cells))]
    twice, _ = _counted(network, cells, [0, 0])
    fixed = max(0.0, 2 * once[0][0] - twice)
    matrices, attention = (sum(counts) for counts in zip(*once, strict=True))
    lengths = cells.lengths.double()
    return Work(
        FORWARD_AND_BACKWARD * (matrices - len(cells) * fixed) / float(lengths.sum()),
        FORWARD_AND_BACKWARD * attention / float(lengths.square().sum()),
        FORWARD_AND_BACKWARD * fixed,
    )


def _counted(network: Network, cells: Tokens, rows: list[int]) -> tuple[float, float]:
    """Count a forward pass over some rows."""
    seen, target = network.asked(cells.select(torch.tensor(rows)), seed=0, place=rows[0])
    # plain products show in the count; a fused kernel's would depend on the device
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        network(seen, target)
    return _split(counter.get_flop_counts().get("Global", {}))


def _split(counted: dict[Any, int]) -> tuple[float, float]:
    """Divide counts into plain matrix products and those of attention, which come in stacks."""
    batched: Sequence[Any] = (torch.ops.aten.bmm, torch.ops.aten.baddbmm)
    attention = sum(number for op, number in counted.items() if op in batched)
    return float(sum(counted.values()) - attention), float(attention)
