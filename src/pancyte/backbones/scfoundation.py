"""The encoder of scFoundation: expressed genes with learned bins, and two tokens of read depth."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from pancyte.backbones.backbone import Pooling
from pancyte.backbones.frame import Frame
from pancyte.backbones.postnorm import (
    PostNormBackbone,
    check_no_context,
    check_shape,
    draw,
    fill_sizes,
)
from pancyte.errors import UsageError
from pancyte.shapes import COUNT_SCALE, Hidden, Tokens

HEAD_WIDTH = 64


@dataclass(frozen=True)
class ScFoundationConfig:
    """scFoundation's sizes; the published ones are in ``docs/published-models.md``.

    Attributes
    ----------
    features
        Size of the vocabulary, without the two tokens of read depth; from the tokenizer.
    value_kind
        ``"continuous"``; from the tokenizer.
    places
        Longest cell; from the tokenizer, and of no consequence, as there is no order.
    context
        Not used; must be empty.
    depth, width, heads, inner
        Layers, length of the vectors, attention heads and width of the feed-forward part; 0 means
        64 · depth, one head for each 64 of width, and four times the width.
    bins, alpha
        Number of learned vectors that a value is a mixture of, and the weight of the shortcut in
        working out the mixture.
    depth_wanted
        Decimal logarithm of the read depth that the cell is to be understood at; the published
        code's ``t4`` is 4.
    target_sum
        What the tokenizer scaled totals to.
    dropout
        Share set to zero in training.
    """

    features: int
    value_kind: Literal["continuous", "rank"]
    places: int
    context: dict[str, int] = field(default_factory=dict)
    depth: int = 12
    width: int = 0
    heads: int = 0
    inner: int = 0
    bins: int = 100
    alpha: float = 1.0
    depth_wanted: float = 4.0
    target_sum: float = 1e4
    dropout: float = 0.1

    def __post_init__(self) -> None:
        fill_sizes(self, layer=HEAD_WIDTH, head=HEAD_WIDTH, inner=4)
        check_shape("scfoundation", self.depth, self.width, self.heads)
        if self.value_kind != "continuous":
            raise UsageError(
                f"scfoundation reads values, not a {self.value_kind}.",
                fix="Use the tokenizer scfoundation or continuous.",
            )
        check_no_context("scfoundation", self.context)


class LearnedBins(nn.Module):
    """Read a value as a mixture of a few learned vectors."""

    def __init__(self, bins: int, width: int, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha
        self.spread = nn.Linear(1, bins)
        self.mix = nn.Linear(bins, bins)
        self.bin = nn.Embedding(bins, width)
        self.hidden = nn.Parameter(torch.empty(width))

    def forward(self, values: Float[Tensor, " rows"]) -> Float[Tensor, "rows width"]:
        """Return a vector for each value; those withheld share one."""
        withheld = values.isnan().unsqueeze(1)
        spread = leaky_relu(self.spread(values.nan_to_num(0.0).unsqueeze(1)), 0.1)
        shares = (self.alpha * spread + self.mix(spread)).softmax(dim=1)
        return torch.where(withheld, self.hidden, shares @ self.bin.weight)


class ScFoundationEmbedding(nn.Module):
    """A gene's vector plus that of its value; the same for the depth a cell has and is to have."""

    def __init__(self, config: ScFoundationConfig) -> None:
        super().__init__()
        self.config = config
        self.feature = nn.Embedding(config.features, config.width)
        self.wanted = nn.Parameter(torch.empty(config.width))
        self.measured = nn.Parameter(torch.empty(config.width))
        self.value = LearnedBins(config.bins, config.width, config.alpha)

    def forward(self, tokens: Tokens, frame: Frame) -> Float[Tensor, "rows width"]:
        """Return the rows that go into the first layer."""
        if COUNT_SCALE not in tokens.context:
            raise UsageError(
                "scfoundation needs to know each cell's total count.",
                fix="Use a tokenizer that keeps it: scfoundation or continuous.",
            )
        measured = (self.config.target_sum / tokens.context[COUNT_SCALE]).log10()
        wanted = torch.full_like(measured[:1], self.config.depth_wanted)
        genes = self.feature(tokens.ids.clamp(min=0)) + self.value(tokens.values)
        first = self.measured + self.value(measured)
        return frame.fill(genes, first, self.wanted + self.value(wanted))


class ScFoundation(PostNormBackbone):
    """Reads a cell's expressed genes with their amounts, and its read depth, as scFoundation does.

    The encoder of scFoundation (Hao et al., Nature Methods 2024), a plain transformer: the same
    numbers as its published code with the same weights, to 1e-5. Its decoder over all genes is not
    here. ``<cls>`` is the token of the measured read depth. The pooling ``"own"`` puts behind one
    another the vectors of the measured and the wanted depth, and the maximum and mean over genes:
    the published cell embedding, four times as long.
    """

    name = "scfoundation"
    value_kind = "continuous"
    partial = True
    Config = ScFoundationConfig

    def __init__(self, config: ScFoundationConfig) -> None:
        super().__init__(config)
        self.embedding = ScFoundationEmbedding(config)
        self.layers = self.stack()
        self.norm = nn.LayerNorm(config.width)
        self.initialise(0)

    def initialise(self, seed: int) -> None:
        """Draw weights: normal with a deviation of one over the root of the width."""
        draw(self, seed, std=self.config.width**-0.5)

    def forward(self, tokens: Tokens, *, skip: int = 0, only: Tensor | None = None) -> Hidden:
        """Embed genes and read depth, mix them, and leave out the last `skip` layers."""
        frame, rows = self._mixed(tokens, skip, only)
        return frame.take(rows, tokens, self.embedding.feature.weight)

    def pooled(self, tokens: Tokens, *, pooling: Pooling, skip: int = 0) -> Tensor:
        """Average, take ``<cls>``, or put four views of the cell behind one another."""
        if pooling != "own":
            return super().pooled(tokens, pooling=pooling, skip=skip)
        frame, rows = self._mixed(tokens, skip)
        hidden = frame.take(rows, tokens, self.embedding.feature.weight)
        wanted = rows.index_select(0, frame.offsets[1:] - 1)
        cell = tokens.cell_index.unsqueeze(1).expand_as(hidden.tokens)
        highest = torch.zeros_like(hidden.cls).scatter_reduce(
            0, cell, hidden.tokens, "amax", include_self=False
        )
        return torch.cat([hidden.cls, wanted, highest, hidden.mean()], dim=1)

    def pooled_width(self, pooling: Pooling) -> int:
        """Length of a cell's vector."""
        return 4 * self.width if pooling == "own" else self.width

    def _mixed(self, tokens: Tokens, skip: int, only: Tensor | None = None) -> tuple[Frame, Tensor]:
        frame = Frame.around(tokens, before=True, after=True)
        rows = self.embedding(tokens, frame)
        return frame, self.mixed(frame, rows, skip=skip, only=only, then=self.norm)
