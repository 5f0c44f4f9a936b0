"""Attention within each cell, over packed rows; padding exists only inside this file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


@runtime_checkable
class Layout(Protocol):
    """How rows are laid out so that each attends to rows of its own cell only."""

    @property
    def square(self) -> bool:
        """Whether there must be as many queries as keys, as each has a view of its own."""

    def mix(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        heads: int,
        *,
        bounds: Tensor | None = None,
        dropout: float = 0.0,
    ) -> Tensor:
        """Attend: (asked, width), (rows, width) and (rows, width) → (asked, width).

        Parameters
        ----------
        query, key, value
            Packed rows, cell behind cell.
        heads
            Attention heads.
        bounds
            Bounds of each cell's queries, if they are other rows than the keys; each then sees all
            of its cell. Not for layouts that are `square`.
        dropout
            Share of the attention weights that is set to zero.
        """


@dataclass(frozen=True)
class Apart:
    """One cell after the other: nothing is padded and no product is wasted, which suits a CPU.

    Attributes
    ----------
    lengths
        Rows of each cell.
    masks
        For each cell, (rows, rows), true where a row (first axis) sees another; None if all see
        all of their cell.
    """

    lengths: list[int]
    masks: list[Tensor] | None = None

    @classmethod
    def of(
        cls, offsets: Int[Tensor, " bounds"], visible: Int[Tensor, " rows"] | None = None
    ) -> Apart:
        """Lay out rows with these offsets; each sees its cell's first `visible` rows and itself."""
        lengths = offsets.diff().tolist()
        if visible is None:
            return cls(lengths)
        places = torch.arange(max(lengths, default=0), device=offsets.device)
        masks = []
        for until in visible.split(lengths):
            place = places[: len(until)]
            masks.append((place < until.unsqueeze(1)) | (place == place.unsqueeze(1)))
        return cls(lengths, masks)

    @property
    def square(self) -> bool:
        """Whether rows see different parts of their cell."""
        return self.masks is not None

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
        """Attend cell by cell; where there is nothing to see, the answer is zero."""
        asked = self.lengths if bounds is None else bounds.diff().tolist()
        lengths = (asked, self.lengths, self.lengths)
        parts = (
            rows.unflatten(1, (heads, -1)).transpose(0, 1).split(each, dim=1)
            for rows, each in zip((query, key, value), lengths, strict=True)
        )
        masks: Sequence[Tensor | None] = self.masks or [None] * len(asked)
        # with a leading axis of one, as PyTorch's fast kernel takes four axes only
        mixed = [
            scaled_dot_product_attention(
                q[None], k[None], v[None], attn_mask=mask, dropout_p=dropout
            )[0]
            if k.shape[1]
            else torch.zeros_like(q)
            for q, k, v, mask in zip(*parts, masks, strict=True)
            if q.shape[1]
        ]
        if not mixed:
            return torch.zeros_like(query)
        return torch.cat(mixed, dim=1).transpose(0, 1).reshape(query.shape)


@dataclass(frozen=True)
class Padding:
    """The padded view of packed rows: where each goes, and which places are real.

    Attributes
    ----------
    cells, longest
        Shape of the padded view.
    places
        Flat place of each packed row in the (cells · longest) view.
    mask
        True where a row (third axis) may see a place (fourth): (cells, 1, 1, longest) if all rows
        see the same, (cells, 1, longest, longest) if not; None if all see all.
    """

    cells: int
    longest: int
    places: Int[Tensor, " rows"]
    mask: Tensor | None

    @classmethod
    def of(
        cls, offsets: Int[Tensor, " bounds"], visible: Int[Tensor, " rows"] | None = None
    ) -> Padding:
        """Lay out rows with these offsets; each sees its cell's first `visible` rows and itself."""
        lengths = offsets.diff()
        cells, longest = len(lengths), int(lengths.max()) if len(lengths) else 0
        arange = torch.arange(int(offsets[-1]), device=offsets.device)
        start = torch.arange(cells, device=offsets.device) * longest - offsets[:-1]
        places = arange + torch.repeat_interleave(start, lengths)
        place = torch.arange(longest, device=offsets.device)
        if visible is not None:
            # an empty place sees itself, so that its discarded output stays finite
            until = visible.new_zeros(cells * longest).index_copy(0, places, visible)
            seen = place < until.view(cells, longest, 1)
            seen |= place == place.unsqueeze(1)
            return cls(cells, longest, places, seen.unsqueeze(1))
        if len(arange) == cells * longest:
            return cls(cells, longest, places, None)
        real = place < lengths.unsqueeze(1)
        return cls(cells, longest, places, real[:, None, None, :])

    @property
    def square(self) -> bool:
        """Whether rows see different parts of their cell."""
        return self.mask is not None and self.mask.shape[2] > 1

    def spread(self, rows: Float[Tensor, "rows width"], heads: int) -> Tensor:
        """Packed → (cells, heads, longest, width / heads)."""
        if self.mask is not None:
            empty = rows.new_zeros(self.cells * self.longest, rows.shape[1])
            rows = empty.index_copy(0, self.places, rows)
        return rows.view(self.cells, self.longest, heads, -1).transpose(1, 2)

    def gather(self, padded: Tensor) -> Float[Tensor, "rows width"]:
        """(cells, heads, longest, width / heads) → packed."""
        flat = padded.transpose(1, 2).reshape(self.cells * self.longest, -1)
        return flat if self.mask is None else flat.index_select(0, self.places)

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
        """Attend in the padded view."""
        own = self if bounds is None else Padding.of(bounds)
        q, k, v = own.spread(query, heads), self.spread(key, heads), self.spread(value, heads)
        mixed = scaled_dot_product_attention(q, k, v, attn_mask=self.mask, dropout_p=dropout)
        return own.gather(mixed)


@dataclass(frozen=True)
class Asking:
    """Those packed rows whose outcome is wanted; the others are only looked at.

    Attributes
    ----------
    rows
        Which, rising.
    offsets
        Bounds of each cell's among them.
    """

    rows: Int[Tensor, " asked"]
    offsets: Int[Tensor, " bounds"]

    @classmethod
    def of(cls, rows: Int[Tensor, " asked"], offsets: Int[Tensor, " bounds"]) -> Asking:
        """Choose rows, in any order, of cells with these offsets."""
        rising = rows.sort().values
        return cls(rising, torch.searchsorted(rising, offsets))

    def mix(
        self,
        query: Float[Tensor, "asked width"],
        key: Float[Tensor, "rows width"],
        value: Float[Tensor, "rows width"],
        layout: Layout,
        heads: int,
        *,
        dropout: float = 0.0,
    ) -> Float[Tensor, "asked width"]:
        """Attend from these rows to all rows that they may see."""
        if not layout.square:
            return layout.mix(query, key, value, heads, bounds=self.offsets, dropout=dropout)
        whole = query.new_zeros(len(key), query.shape[1]).index_copy(0, self.rows, query)
        return layout.mix(whole, key, value, heads, dropout=dropout).index_select(0, self.rows)


class Attention(nn.Module):
    """Multi-head self-attention in which a cell's rows see that cell's rows only."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        # softmax ignores what is added to every score, so a bias of the keys would be a dead part
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(
        self, rows: Float[Tensor, "rows width"], layout: Layout, asking: Asking | None = None
    ) -> Float[Tensor, "asked width"]:
        """Mix the rows of each cell, or only those `asking`."""
        key, value = self.key(rows), self.value(rows)
        if asking is None:
            return self.out(layout.mix(self.query(rows), key, value, self.heads))
        query = self.query(rows.index_select(0, asking.rows))
        return self.out(asking.mix(query, key, value, layout, self.heads))
