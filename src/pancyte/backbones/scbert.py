"""The network of scBERT: a Performer over every gene of the vocabulary, expressed or not."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import gelu

from pancyte.backbones.backbone import Backbone
from pancyte.backbones.postnorm import check_no_context, check_shape, draw, fill_sizes
from pancyte.errors import UsageError
from pancyte.shapes import HIDDEN_ID, Hidden, Tokens

EPS = 1e-4
"""What keeps features of the kernel from zero, as published."""


@dataclass(frozen=True)
class ScBERTConfig:
    """scBERT's sizes; the published ones are in ``docs/published-models.md``.

    Attributes
    ----------
    features
        Size of the vocabulary; from the tokenizer.
    value_kind
        ``"continuous"``: expression bins; from the tokenizer.
    places
        Longest cell; from the tokenizer, and of no consequence, as all genes are read.
    context
        Not used; must be empty.
    depth, width, heads, head_width
        Layers, length of the vectors, attention heads and length of their queries; 0 means
        32 · depth, one head for each 20 of width, and 64.
    random
        Random features that stand for the softmax of attention; 0 means the published number,
        ``head_width · ln(head_width)``.
    inner
        Width of the feed-forward part; 0 means four times the width.
    bins
        Rows of the table of bins, the one for withheld values included, which is the last.
    dropout
        Share set to zero in training.
    """

    features: int
    value_kind: Literal["continuous", "rank"]
    places: int
    context: dict[str, int] = field(default_factory=dict)
    depth: int = 6
    width: int = 0
    heads: int = 0
    head_width: int = 64
    random: int = 0
    inner: int = 0
    bins: int = 7
    dropout: float = 0.0

    def __post_init__(self) -> None:
        fill_sizes(self, layer=32, head=20, inner=4)
        features = self.random or int(self.head_width * math.log(self.head_width))
        object.__setattr__(self, "random", features)
        check_shape("scbert", self.depth, self.width, 1)
        if self.value_kind != "continuous":
            raise UsageError(
                f"scbert reads bins, not a {self.value_kind}.", fix="Use the tokenizer scbert."
            )
        check_no_context("scbert", self.context)


class PerformerLayer(nn.Module):
    """Attention by random features, whose cost grows with the genes and not their square.

    FAVOR+ (Choromanski et al., ICLR 2021) with the published normalisations; then a feed-forward
    part. Both read a normalised input and are added to it.
    """

    features: Tensor

    def __init__(self, config: ScBERTConfig) -> None:
        super().__init__()
        width = config.heads * config.head_width
        self.heads = config.heads
        self.norm_attention = nn.LayerNorm(config.width)
        self.qkv = nn.Linear(config.width, 3 * width, bias=False)
        self.out = nn.Linear(width, config.width)
        self.norm_forward = nn.LayerNorm(config.width)
        self.expand = nn.Linear(config.width, config.inner)
        self.contract = nn.Linear(config.inner, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.register_buffer("features", torch.zeros(config.random, config.head_width))

    def forward(
        self, rows: Float[Tensor, "rows width"], seen: Tensor | None
    ) -> Float[Tensor, "rows width"]:
        """Update the rows of one cell; `seen` says which see which, if not all see all."""
        qkv = self.qkv(self.norm_attention(rows)).view(len(rows), 3, self.heads, -1)
        query, key, value = qkv.permute(1, 2, 0, 3)
        mixed = self._mixed(query, key, value, seen).transpose(0, 1).flatten(1)
        rows = rows + self.dropout(self.out(mixed))
        inner = self.dropout(gelu(self.expand(self.norm_forward(rows))))
        return rows + self.dropout(self.contract(inner))

    def _mixed(self, query: Tensor, key: Tensor, value: Tensor, seen: Tensor | None) -> Tensor:
        asked, told = self._projected(query), self._projected(key)
        asked = (asked - _half(query) - asked.amax(2, keepdim=True)).exp() + EPS
        # one maximum for all keys and heads, as published: it decides how much EPS weighs
        highest = told.max() if seen is None else 0.0
        told = (told - _half(key) - highest).exp() + EPS
        if seen is not None:
            shares = (asked @ told.transpose(1, 2)) * seen
            return shares @ value / shares.sum(2, keepdim=True)
        return asked @ (told.transpose(1, 2) @ value) / (asked @ told.sum(1).unsqueeze(2))

    def _projected(self, rows: Tensor) -> Tensor:
        return rows * rows.shape[2] ** -0.25 @ self.features.T


def _half(rows: Tensor) -> Tensor:
    """Half the squared length of scaled rows, which random features need taken off."""
    return rows.square().sum(2, keepdim=True) / 2 * rows.shape[2] ** -0.5


class ScBERT(Backbone):
    """Reads every gene of its vocabulary, most of them unexpressed, as scBERT does.

    The Performer of scBERT (Yang et al., Nature Machine Intelligence 2022): the same numbers as its
    published code with the same weights for a cell by itself, to 1e-5. A gene is the bin of its
    expression plus its gene2vec vector. ``<cls>`` is the place behind the genes. The vectors of
    genes that are not expressed are computed, and not handed back. Where some tokens may not be
    seen, genes that are not expressed are left out.
    """

    name = "scbert"
    value_kind = "continuous"
    Config = ScBERTConfig
    gene: Tensor

    def __init__(self, config: ScBERTConfig) -> None:
        super().__init__(config)
        self.bin = nn.Embedding(config.bins, config.width)
        # gene2vec's, which scBERT does not train, and zeros for the place behind
        self.register_buffer("gene", torch.zeros(config.features + 1, config.width))
        self.layers = nn.ModuleList(PerformerLayer(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width)
        self.initialise(0)

    @property
    def width(self) -> int:
        """Length of the vectors it returns."""
        return self.config.width

    def initialise(self, seed: int) -> None:
        """Draw weights, random features, and vectors of genes until they are told."""
        draw(self, seed, std=self.config.width**-0.5)
        generator = torch.Generator().manual_seed(seed)
        self.gene[:-1] = torch.randn(self.gene[:-1].shape, generator=generator)
        layers: Any = self.layers
        for layer in layers:
            layer.features.copy_(torch.randn(layer.features.shape, generator=generator))

    def forward(self, tokens: Tokens, *, skip: int = 0) -> Hidden:
        """Read cells one at a time, and leave out the last `skip` layers."""
        self.check_skip(skip)
        found, last = [self.bin.weight[:0]], [self.bin.weight[:0]]
        bounds = tokens.offsets.tolist()
        for start, stop in itertools.pairwise(bounds):
            visible = None if tokens.visible is None else tokens.visible[start:stop]
            here = tokens.ids[start:stop].long(), tokens.values[start:stop]
            rows = self._cell(*here, visible, skip)
            found.append(rows[:-1])
            last.append(rows[-1:])
        return Hidden(torch.cat(found), torch.cat(last), tokens.offsets, self.gene[:-1])

    def _cell(self, ids: Tensor, values: Tensor, visible: Tensor | None, skip: int) -> Tensor:
        """Return the vectors of one cell's tokens, and behind them that of ``<cls>``."""
        known = ids != HIDDEN_ID
        rows = self._bins(values) + self.gene[ids.clamp(min=0)] * known.unsqueeze(1)
        behind = self.bin.weight[:1] + self.gene[-1:]
        seen = None if visible is None else _seen(visible)
        if seen is None:
            absent = self.bin.weight[0] + self.gene[:-1]
            whole = torch.cat([absent.index_copy(0, ids[known], rows[known]), behind])
            rows, chosen = torch.cat([rows[~known], whole]), ids + int((~known).sum())
            chosen = torch.where(known, chosen, (~known).cumsum(0) - 1)
        else:
            rows, chosen = torch.cat([rows, behind]), torch.arange(len(ids), device=ids.device)
        for layer in self.layers[: self.config.depth - skip]:
            rows = layer(rows, seen)
        return self.norm(torch.cat([rows[chosen], rows[-1:]]))

    def _bins(self, values: Float[Tensor, " tokens"]) -> Float[Tensor, "tokens width"]:
        """Look bins up; what is between two is read as a mixture of both, what is withheld last."""
        highest = self.config.bins - 2
        told = values.nan_to_num(0.0)
        lower = told.long().clamp(0, highest)
        first, next_one = self.bin(lower), self.bin((lower + 1).clamp(max=highest))
        found = first + (told - lower).unsqueeze(1) * (next_one - first)
        return torch.where(values.isnan().unsqueeze(1), self.bin.weight[-1], found)


def _seen(visible: Tensor) -> Tensor:
    """Say which tokens each may see; all see ``<cls>``, the last, which sees what the least may."""
    count = len(visible)
    least = visible.min().unsqueeze(0) if count else visible.new_zeros(1)
    place = torch.arange(count + 1, device=visible.device)
    until = torch.cat([visible, least]).unsqueeze(1)
    return (place < until) | (place == place.unsqueeze(1)) | (place == count)
