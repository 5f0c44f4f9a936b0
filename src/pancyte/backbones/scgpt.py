"""The network of scGPT: genes and their binned values, summed and mixed without an order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pancyte.backbones.frame import Frame
from pancyte.backbones.postnorm import (
    PostNormBackbone,
    check_no_context,
    check_shape,
    draw,
    fill_sizes,
)
from pancyte.errors import UsageError
from pancyte.shapes import Hidden, Tokens

HEAD_WIDTH = 64
LARGEST = 512.0
"""Values above this are read as this, as in scGPT."""


@dataclass(frozen=True)
class ScGPTConfig:
    """scGPT's sizes; the published ones are in ``docs/published-models.md``.

    Attributes
    ----------
    features
        Size of the vocabulary, without special tokens; from the tokenizer.
    value_kind
        ``"continuous"``; from the tokenizer.
    places
        Longest cell; from the tokenizer, and of no consequence, as there is no order.
    context
        Not used; must be empty.
    depth, width, heads, inner
        Layers, length of the vectors, attention heads and width of the feed-forward part; 0 means
        64 · depth, one head for each 64 of width, and the width.
    style
        How a value is read: "continuous" by a small network, "category" by a table of `bins`
        rows, "scaling" by multiplication.
    bins
        Rows of that table.
    cls_value, mask_value
        The values that ``<cls>`` and a withheld value carry: −2 and −1 in pre-training and in
        embedding; ``<cls>`` has 0 in the published fine-tuning.
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
    style: Literal["continuous", "category", "scaling"] = "continuous"
    bins: int = 0
    cls_value: float = -2.0
    mask_value: float = -1.0
    dropout: float = 0.2

    def __post_init__(self) -> None:
        fill_sizes(self, layer=HEAD_WIDTH, head=HEAD_WIDTH, inner=1)
        check_shape("scgpt", self.depth, self.width, self.heads)
        if self.value_kind != "continuous":
            raise UsageError(
                f"scgpt reads binned values, not a {self.value_kind}.",
                fix="Use the tokenizer scgpt or bins.",
            )
        check_no_context("scgpt", self.context)
        if self.style == "category" and self.bins < 1:
            raise UsageError(
                "The style 'category' needs to know how many bins there are.",
                fix="Set bins to those of the tokenizer and two more, for <cls> and withheld ones.",
            )


class ContinuousValues(nn.Module):
    """Read a value as a number, with a small network."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.widen = nn.Linear(1, width)
        self.mix = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, values: Float[Tensor, " rows"]) -> Float[Tensor, "rows width"]:
        """Return a vector for each value."""
        if self.training:
            return self._vectors(values)
        # There are fewer bins than tokens
        distinct, which = values.unique(return_inverse=True)
        return self._vectors(distinct).index_select(0, which)

    def _vectors(self, values: Float[Tensor, " rows"]) -> Float[Tensor, "rows width"]:
        wide = self.widen(values.clamp(max=LARGEST).unsqueeze(1)).relu()
        return self.dropout(self.norm(self.mix(wide)))


class CategoryValues(nn.Module):
    """Read a value as the number of a bin, from a table."""

    def __init__(self, bins: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(bins, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, values: Float[Tensor, " rows"]) -> Float[Tensor, "rows width"]:
        """Return a vector for each value."""
        return self.norm(self.table(values.long()))


class ScGPTEmbedding(nn.Module):
    """A gene's vector, normalised, and that of its value: their sum, or for "scaling" product."""

    def __init__(self, config: ScGPTConfig) -> None:
        super().__init__()
        self.config = config
        self.feature = nn.Embedding(config.features, config.width)
        self.cls = nn.Parameter(torch.empty(config.width))
        self.norm = nn.LayerNorm(config.width)
        self.value: nn.Module | None = None
        if config.style == "continuous":
            self.value = ContinuousValues(config.width, config.dropout)
        elif config.style == "category":
            self.value = CategoryValues(config.bins, config.width)

    def forward(self, tokens: Tokens, frame: Frame) -> Float[Tensor, "rows width"]:
        """Return the rows that go into the first layer."""
        genes = self.norm(frame.fill(self.feature(tokens.ids.clamp(min=0)), self.cls, None))
        known = tokens.values.nan_to_num(self.config.mask_value).unsqueeze(1)
        values = frame.fill(known, known.new_full((1,), self.config.cls_value), None).squeeze(1)
        if self.value is None:
            return genes * values.unsqueeze(1)
        return genes + self.value(values)

    def table(self) -> Float[Tensor, "features width"]:
        """Every gene's vector as the layers see it."""
        return self.norm(self.feature.weight)


class ScGPT(PostNormBackbone):
    """Reads a cell as a set of genes with binned values behind a ``<cls>``, as scGPT does.

    The encoder of scGPT (Cui et al., Nature Methods 2024), without its batch labels: the same
    numbers as its ``TransformerModel`` with the same weights, to 1e-5.
    """

    name = "scgpt"
    value_kind = "continuous"
    partial = True
    Config = ScGPTConfig

    def __init__(self, config: ScGPTConfig) -> None:
        super().__init__(config)
        self.embedding = ScGPTEmbedding(config)
        self.layers = self.stack()
        self.initialise(0)

    def initialise(self, seed: int) -> None:
        """Draw weights: normal with a deviation of one over the root of the width."""
        draw(self, seed, std=self.config.width**-0.5)

    def forward(self, tokens: Tokens, *, skip: int = 0, only: Tensor | None = None) -> Hidden:
        """Embed genes and values, mix them, and leave out the last `skip` layers."""
        frame = Frame.around(tokens, before=True, after=False)
        rows = self.embedding(tokens, frame)
        rows = self.mixed(frame, rows, skip=skip, only=only)
        return frame.take(rows, tokens, self.embedding.table())
