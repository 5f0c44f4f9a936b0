"""Special tokens around each cell's own: put in before the layers, taken out after them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pancyte.backbones.attention import Asking, Layout
from pancyte.backbones.layout import lay_out
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

    def layout(
        self, rows: Float[Tensor, "rows width"], heads: int, *, dropout: bool = False
    ) -> Layout:
        """Lay out these rows for attention, as suits their device."""
        return lay_out(self.offsets, self.visible, rows, heads=heads, dropout=dropout)

    def through(
        self,
        rows: Float[Tensor, "rows width"],
        layers: nn.ModuleList,
        *,
        heads: int,
        dropout: bool = False,
        only: Int[Tensor, " some"] | None = None,
        then: nn.Module | None = None,
    ) -> Float[Tensor, "rows width"]:
        """Run rows through `layers`, and through what comes `then`.

        Parameters
        ----------
        rows
            What goes in.
        layers
            Modules that take rows, a layout and those rows that are asked for.
        heads, dropout
            Attention heads, and whether attention weights are dropped.
        only
            Positions of the tokens whose vectors are wanted, besides those of ``<cls>``. The other
            rows of the last layer are then not computed and zero, unless there is no ``<cls>``, as
            then a cell's vector is that of all its tokens.
        then
            What is done with each row behind the last layer.
        """
        layout = self.layout(rows, heads, dropout=dropout)
        finish = then or nn.Identity()
        if only is None or self.at_cls is None or not len(layers):
            for layer in layers:
                rows = layer(rows, layout)
            return finish(rows)
        for layer in layers[:-1]:
            rows = layer(rows, layout)
        asking = Asking.of(torch.cat([self.at_cls, self.at_token[only]]), self.offsets)
        found = finish(layers[-1](rows, layout, asking))
        empty = found.new_zeros(len(rows), found.shape[1])
        return empty.index_copy(0, asking.rows, found)

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
