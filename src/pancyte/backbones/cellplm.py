"""The network of CellPLM: a cell is a word, the weighted sum of its genes, among other cells."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import gelu, linear

from pancyte.backbones.backbone import Backbone, Pooling
from pancyte.backbones.postnorm import check_no_context, check_shape, draw
from pancyte.errors import UsageError
from pancyte.shapes import HIDDEN_ID, Hidden, Tokens

EPS = 1e-6
"""What keeps flows from zero, as published."""
NORM_GROUPS = 4


@dataclass(frozen=True)
class CellPLMConfig:
    """CellPLM's sizes; the published ones are in ``docs/published-models.md``.

    Attributes
    ----------
    features
        Size of the vocabulary; from the tokenizer.
    value_kind
        ``"continuous"``: the logarithm of raw counts; from the tokenizer.
    places
        Longest cell; from the tokenizer, and of no consequence, as genes are summed.
    context
        Not used; must be empty.
    depth, width, heads
        Layers, length of the vectors and attention heads; 0 means 64 · depth and 8.
    latent, inner, clusters
        Length of the latent vector, width of the map to it, and number of clusters of cells.
    together
        Whether cells read at the same time attend to one another, as published, or each is by
        itself.
    dropout
        Share set to zero in training.
    """

    features: int
    value_kind: Literal["continuous", "rank"]
    places: int
    context: dict[str, int] = field(default_factory=dict)
    depth: int = 4
    width: int = 0
    heads: int = 8
    latent: int = 512
    inner: int = 512
    clusters: int = 16
    together: bool = False
    dropout: float = 0.2

    def __post_init__(self) -> None:
        object.__setattr__(self, "width", self.width or 64 * self.depth)
        check_shape("cellplm", self.depth, self.width, self.heads)
        if self.value_kind != "continuous":
            raise UsageError(
                f"cellplm reads values, not a {self.value_kind}.", fix="Use the tokenizer cellplm."
            )
        check_no_context("cellplm", self.context)


class FlowLayer(nn.Module):
    """Mix cells by flow attention, whose cost grows with their number and not its square.

    Flowformer (Wu et al., ICML 2022), as CellPLM has it: what flows out of each cell and into each
    cell is conserved.
    """

    def __init__(self, config: CellPLMConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.norm_attention = nn.LayerNorm(config.width)
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)
        self.norm_forward = nn.LayerNorm(config.width)
        self.expand = nn.Linear(config.width, 2 * config.width)
        self.contract = nn.Linear(2 * config.width, config.width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, cells: Float[Tensor, "groups cells width"]) -> Tensor:
        """Update cells that see those of their group."""
        groups, count, width = cells.shape
        qkv = self.qkv(self.norm_attention(cells)).view(groups, count, 3, self.heads, -1)
        mixed = flow(*qkv.permute(2, 0, 3, 1, 4)).transpose(1, 2).reshape(groups, count, width)
        cells = cells + self.dropout(self.out(mixed))
        inner = self.dropout(gelu(self.expand(self.norm_forward(cells))))
        return cells + self.dropout(self.contract(inner))


def flow(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attend by conserved flows: three times (groups, heads, cells, width / heads)."""
    query, key = query.sigmoid(), key.sigmoid()
    count = query.shape[2]
    into = 1 / _met(query, key.sum(2))
    out_of = 1 / _met(key, query.sum(2))
    kept_in = _met(query, (key * out_of[..., None]).sum(2))
    kept_out = _met(key, (query * into[..., None]).sum(2)).clamp(-1, 1)
    values = value * (kept_out.softmax(-1) * count)[..., None]
    found = (query * into[..., None]) @ (key.transpose(2, 3) @ values)
    return found * kept_in.sigmoid()[..., None]


def _met(rows: Tensor, total: Tensor) -> Tensor:
    return ((rows + EPS) * (total + EPS).unsqueeze(2)).sum(-1)


class Fixed(nn.Module):
    """A linear map that is told from outside and that no training here changes."""

    weight: Tensor
    bias: Tensor

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(after, before))
        self.register_buffer("bias", torch.zeros(after))

    def forward(self, rows: Float[Tensor, "rows before"]) -> Float[Tensor, "rows after"]:
        """Map rows."""
        return linear(rows, self.weight, self.bias)


class Latent(nn.Module):
    """From a cell's vector to the mean of its place in a mixture of Gaussians."""

    def __init__(self, config: CellPLMConfig) -> None:
        super().__init__()
        self.cluster = Fixed(config.width, config.clusters)
        self.widen = Fixed(config.width + config.clusters, config.inner)
        self.mean = Fixed(config.inner, config.latent)

    def forward(self, cells: Float[Tensor, "cells width"]) -> Float[Tensor, "cells latent"]:
        """Take each cell's likeliest cluster, and the mean that follows."""
        scores = self.cluster(cells)
        likeliest = torch.zeros_like(scores).scatter(1, scores.argmax(1, keepdim=True), 1.0)
        return self.mean(self.widen(torch.cat([cells, likeliest], 1)).relu())


class CellPLM(Backbone):
    """Reads a cell as the weighted sum of its genes' vectors, and mixes cells, not genes.

    The encoder of CellPLM (Wen et al., ICLR 2024): the same numbers as its published code with the
    same weights, to 1e-5, if cells are read `together`; then a cell's embedding depends on its
    company. The pooling ``"own"`` is the latent vector. The published code draws a cell's cluster
    at random, in use too; here it is the likeliest.
    """

    name = "cellplm"
    value_kind = "continuous"
    Config = CellPLMConfig

    def __init__(self, config: CellPLMConfig) -> None:
        super().__init__(config)
        self.together = config.together
        self.feature = nn.Embedding(config.features, config.width)
        self.mix = nn.Linear(config.width, config.width)
        self.norm = nn.GroupNorm(NORM_GROUPS, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(FlowLayer(config) for _ in range(config.depth))
        self.norm_last = nn.LayerNorm(config.width)
        self.latent = Latent(config)
        self.initialise(0)

    @property
    def width(self) -> int:
        """Length of the vectors it returns."""
        return self.config.width

    def initialise(self, seed: int) -> None:
        """Draw weights: normal with a deviation of one over the root of the width."""
        draw(self, seed, std=self.config.width**-0.5)
        with torch.no_grad():
            self.norm.weight.fill_(1.0)
            generator = torch.Generator().manual_seed(seed)
            for part in (self.latent.cluster, self.latent.widen, self.latent.mean):
                noise = torch.randn(part.weight.shape, generator=generator)
                part.weight.copy_(noise * part.weight.shape[1] ** -0.5)

    def forward(self, tokens: Tokens, *, skip: int = 0) -> Hidden:
        """Sum up each cell, mix cells, and add what comes of it to the tokens."""
        self.check_skip(skip)
        # what is withheld adds nothing, as what is masked in the published code
        values = tokens.values.nan_to_num(0.0) * (tokens.ids != HIDDEN_ID)
        told = self.feature(tokens.ids.clamp(min=0)) * values.unsqueeze(1)
        cells = tokens.cell_index
        summed = told.new_zeros(len(tokens), self.width).index_add(0, cells, _common(told, tokens))
        rows = self.norm(self.dropout(self.mix(summed).relu()))
        rows = rows.unsqueeze(0 if self.together else 1)
        for layer in self.layers[: self.config.depth - skip]:
            rows = layer(rows)
        cls = self.norm_last(rows.reshape(len(tokens), self.width))
        found = told + cls.index_select(0, cells)
        return Hidden(found, cls, tokens.offsets, self.feature.weight)

    def pooled(self, tokens: Tokens, *, pooling: Pooling, skip: int = 0) -> Tensor:
        """Take the cell's vector, or its place in the latent space."""
        if pooling != "own":
            return super().pooled(tokens, pooling=pooling, skip=skip)
        return self.latent(self(tokens, skip=skip).cls)

    def pooled_width(self, pooling: Pooling) -> int:
        """Length of a cell's vector."""
        return self.config.latent if pooling == "own" else self.width


def _common(told: Tensor, tokens: Tokens) -> Tensor:
    """Leave out of the sum what some token of the cell may not see."""
    if tokens.visible is None:
        return told
    cells = tokens.cell_index
    least = tokens.lengths.scatter_reduce(0, cells, tokens.visible, "amin")
    place = torch.arange(len(cells), device=cells.device) - tokens.offsets[:-1][cells]
    return told * (place < least[cells]).unsqueeze(1)
