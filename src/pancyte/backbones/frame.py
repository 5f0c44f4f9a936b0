"""Special tokens around each cell's own: put in before the layers, taken out after them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pancyte.backbones.attention import Padding
from pancyte.backbones.backbone import Pooling
from pancyte.shapes import Hidden, Tokens, cell_index, offsets_of


@dataclass(frozen=True)
class Frame:
    """Where the rows of the network are: ``<cls>`` first, then the tokens, ``<eos>`` last.

    Attributes
    ----------
    offsets
        Cell ``i`` owns rows ``offsets[i]:offsets[i + 1]``.
    at_token
        Row of each token.
    at_cls, at_eos
        Row of each cell's special tokens, or None where a network has none.
    visible
        How many of its cell's first rows each row sees; None if all see all.
    """

    offsets: Int[Tensor, " bounds"]
    at_token: Int[Tensor, " tokens"]
    at_cls: Int[Tensor, " cells"] | None
    at_eos: Int[Tensor, " cells"] | None
    visible: Int[Tensor, " rows"] | None

    @classmethod
    def around(cls, tokens: Tokens, *, before: bool, after: bool) -> Frame:
        """Lay out rows for `tokens`, with ``<cls>`` `before` and ``<eos>`` `after` if wanted."""
        offsets = offsets_of(tokens.lengths + before + after)
        shift = offsets[:-1] - tokens.offsets[:-1] + before
        at_token = torch.arange(len(tokens.ids), device=offsets.device) + shift[tokens.cell_index]
        at_cls = offsets[:-1] if before else None
        at_eos = offsets[1:] - 1 if after else None
        visible = _visible(tokens, offsets, at_token, at_cls, at_eos)
        return cls(offsets, at_token, at_cls, at_eos, visible)

    @cached_property
    def padding(self) -> Padding:
        """The padded view of the rows."""
        return Padding.of(self.offsets, self.visible)

    @cached_property
    def lengths(self) -> list[int]:
        """Number of rows of each cell."""
        return self.offsets.diff().tolist()

    def fill(
        self, tokens: Float[Tensor, "tokens width"], cls: Tensor | None, eos: Tensor | None
    ) -> Float[Tensor, "rows width"]:
        """Put tokens and special tokens, a vector for each cell or one for all, in their rows."""
        rows = tokens.new_empty(int(self.offsets[-1]), tokens.shape[1])
        rows = rows.index_copy(0, self.at_token, tokens)
        for places, vectors in ((self.at_cls, cls), (self.at_eos, eos)):
            if places is not None and vectors is not None:
                rows = rows.index_copy(0, places, vectors.expand(len(places), -1))
        return rows

    def first(self, rows: Float[Tensor, "rows width"], layers: nn.ModuleList) -> Tensor:
        """Run rows through `layers` and return each cell's first, all that the last layer updates.

        Returns
        -------
        (cells, width); every cell must have a row, and see all of it.
        """
        if not len(layers):
            return rows.index_select(0, self.offsets[:-1])
        for layer in layers[:-1]:
            rows = layer(rows, self)
        asking = rows.index_select(0, self.offsets[:-1])
        last: Any = layers[-1]
        return last.asked(asking, [1] * len(self.lengths), rows, self)

    def take(self, rows: Float[Tensor, "rows width"], tokens: Tokens, table: Tensor) -> Hidden:
        """Take the rows apart.

        Without ``<cls>`` a cell's vector is the mean of its tokens', or, where some tokens may not
        be seen, its first token's.
        """
        found = rows.index_select(0, self.at_token)
        if self.at_cls is not None:
            return Hidden(found, rows.index_select(0, self.at_cls), tokens.offsets, table)
        hidden = Hidden(found, rows.new_zeros(len(tokens), rows.shape[1]), tokens.offsets, table)
        if tokens.visible is None:
            return replace(hidden, cls=hidden.mean())
        filled = tokens.lengths > 0
        first = found.index_select(0, tokens.offsets[:-1][filled])
        return replace(hidden, cls=hidden.cls.index_copy(0, filled.nonzero().squeeze(1), first))


def first_will_do(tokens: Tokens, pooling: Pooling) -> bool:
    """Say whether `Frame.first` gives what is asked for; on a GPU it saves nothing."""
    return pooling == "cls" and tokens.visible is None and tokens.ids.device.type == "cpu"


def _visible(
    tokens: Tokens,
    offsets: Tensor,
    at_token: Tensor,
    at_cls: Tensor | None,
    at_eos: Tensor | None,
) -> Tensor | None:
    """Turn what tokens see into what rows see.

    All see ``<cls>``, so it must know no more than the token that sees least; so must ``<eos>``,
    which those see that see their whole cell.
    """
    if tokens.visible is None:
        return None
    before = int(at_cls is not None)
    lengths = tokens.lengths[tokens.cell_index]
    seen = tokens.visible + before + (tokens.visible >= lengths) * int(at_eos is not None)
    rows = seen.new_ones(int(offsets[-1])).index_copy(0, at_token, seen)
    least = seen.new_full((len(tokens),), before).scatter_reduce(
        0, cell_index(tokens.offsets), seen, "amin", include_self=False
    )
    for places in (at_cls, at_eos):
        if places is not None:
            rows = rows.index_copy(0, places, least)
    return rows
