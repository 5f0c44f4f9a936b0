"""Attention over packed rows without padding, by PyTorch's variable-length kernel on a GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Packed:
    """The bounds of cells in packed rows, as the kernel wants them.

    Attributes
    ----------
    bounds
        As ``offsets``, int32.
    longest
        Rows of the longest cell.
    """

    bounds: Int[Tensor, " bounds"]
    longest: int

    @classmethod
    def of(
        cls, offsets: Int[Tensor, " bounds"], visible: Int[Tensor, " rows"] | None = None
    ) -> Packed:
        """Lay out rows with these offsets; this kernel has no way to hide a part of a cell."""
        if visible is not None:
            raise ValueError("Packed attention shows each row its whole cell.")
        lengths = offsets.diff()
        return cls(offsets.to(torch.int32), int(lengths.max()) if len(lengths) else 0)

    @property
    def square(self) -> bool:
        """Never: it takes any number of queries."""
        return False

    def mix(
        self,
        query: Float[Tensor, "asked width"],
        key: Float[Tensor, "rows width"],
        value: Float[Tensor, "rows width"],
        heads: int,
        *,
        bounds: Int[Tensor, " bounds"] | None = None,
        dropout: float = 0.0,
    ) -> Float[Tensor, "asked width"]:
        """Attend, cell by cell, in one kernel."""
        from torch.nn.attention.varlen import varlen_attn

        if dropout:
            raise ValueError("Packed attention has no dropout.")
        own = self if bounds is None else Packed.of(bounds)
        q, k, v = (rows.view(len(rows), heads, -1) for rows in (query, key, value))
        # a tensor, as nothing beside it is asked for
        mixed: Any = varlen_attn(q, k, v, own.bounds, self.bounds, own.longest, self.longest)
        return mixed.reshape(query.shape)
