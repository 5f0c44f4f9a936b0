"""Attention over packed rows that see a part of their cell, by PyTorch's FlexAttention on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pancyte.shapes import cell_index

Sees = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Flexible:
    """Which blocks of packed rows see which; blocks that see nothing are never computed.

    Attributes
    ----------
    blocks
        FlexAttention's block mask.
    """

    blocks: Any

    @classmethod
    def of(cls, offsets: Int[Tensor, " bounds"], visible: Int[Tensor, " rows"] | None) -> Flexible:
        """Lay out rows with these offsets; each sees its cell's first `visible` rows and itself."""
        from torch.nn.attention.flex_attention import create_block_mask

        rows = int(offsets[-1])
        sees = seeing(offsets, visible)
        return cls(create_block_mask(sees, None, None, rows, rows, device=offsets.device))

    @property
    def square(self) -> bool:
        """Always: the blocks are those of all rows."""
        return True

    def mix(
        self,
        query: Float[Tensor, "rows width"],
        key: Float[Tensor, "rows width"],
        value: Float[Tensor, "rows width"],
        heads: int,
        *,
        bounds: Int[Tensor, " bounds"] | None = None,
        dropout: float = 0.0,
    ) -> Float[Tensor, "rows width"]:
        """Attend where the blocks allow."""
        if bounds is not None or dropout:
            raise ValueError("Flexible attention has no dropout, and a query for each key.")
        split = (rows.view(1, len(rows), heads, -1).transpose(1, 2) for rows in (query, key, value))
        mixed = _kernel(query.device.type)(*split, block_mask=self.blocks)
        return mixed.transpose(1, 2).reshape(query.shape)


def seeing(offsets: Int[Tensor, " bounds"], visible: Int[Tensor, " rows"] | None) -> Sees:
    """Return the rule, in FlexAttention's terms, which row sees which."""
    cell = cell_index(offsets)
    place = torch.arange(len(cell), device=offsets.device) - offsets[:-1][cell]
    until = offsets.diff()[cell] if visible is None else visible

    # a lambda, as FlexAttention counts the arguments of what it is given, which shape checks hide
    return lambda batch, head, row, other: (
        (cell[row] == cell[other]) & ((place[other] < until[row]) | (row == other))
    )


@cache
def _kernel(device: str) -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    # one kernel for any number of rows; a CPU takes the plain one, which keeps all scores
    return torch.compile(flex_attention, dynamic=True) if device == "cuda" else flex_attention
