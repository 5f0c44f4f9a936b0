"""A pre-norm transformer over the tokens of each cell."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pancyte.backbones.attention import Asking, Attention, Layout
from pancyte.backbones.backbone import Backbone
from pancyte.backbones.embed import TokenEmbedding
from pancyte.backbones.feature_table import FeatureTable
from pancyte.backbones.frame import Frame
from pancyte.errors import UsageError
from pancyte.shapes import Hidden, Tokens

HEAD_WIDTH = 64


@dataclass(frozen=True)
class TransformerConfig:
    """One dial, `depth`, sets the rest unless it is given.

    Attributes
    ----------
    features
        Size of the vocabulary; from the tokenizer.
    value_kind
        Meaning of the values; from the tokenizer.
    places
        Longest cell; from the tokenizer.
    context
        Levels of each per-cell column; from the tokenizer.
    depth
        Number of layers.
    width
        Length of the vectors; 0 means 64 · depth.
    heads
        Attention heads; 0 means one for each 64 of width.
    expansion
        Width of the inner layer of the feed-forward part, in widths.
    dropout
        Share of each residual update set to zero in training.
    prior
        Length of the features' prior vectors; from the run's priors.
    cold
        With priors: share of the features read by their prior alone, drawn anew at each step; 1
        learns nothing of its own for any feature.
    """

    features: int
    value_kind: Literal["continuous", "rank"]
    places: int
    context: dict[str, int] = field(default_factory=dict)
    depth: int = 4
    width: int = 0
    heads: int = 0
    expansion: int = 4
    dropout: float = 0.0
    prior: int = 0
    cold: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "width", self.width or HEAD_WIDTH * self.depth)
        object.__setattr__(self, "heads", self.heads or max(1, self.width // HEAD_WIDTH))
        if self.depth < 1 or self.width % self.heads:
            raise UsageError(
                f"A transformer of depth {self.depth}, width {self.width} and {self.heads} heads "
                "cannot be built.",
                fix="Depth must be at least 1 and width a multiple of heads.",
            )


class Layer(nn.Module):
    """Attention, then a feed-forward part, each normalised before and added to its input."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        width, inner = config.width, config.width * config.expansion
        self.norm_attention = nn.LayerNorm(width)
        self.attention = Attention(width, config.heads)
        self.norm_forward = nn.LayerNorm(width)
        self.expand = nn.Linear(width, inner)
        self.contract = nn.Linear(inner, width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, rows: Float[Tensor, "rows width"], layout: Layout, asking: Asking | None = None
    ) -> Float[Tensor, "asked width"]:
        """Update the rows of each cell, or only those `asking`."""
        mixed = self.dropout(self.attention(self.norm_attention(rows), layout, asking))
        rows = mixed + (rows if asking is None else rows.index_select(0, asking.rows))
        inner = nn.functional.gelu(self.expand(self.norm_forward(rows)))
        return rows + self.dropout(self.contract(inner))


def into_residual(layer: nn.Module) -> tuple[nn.Module, nn.Module]:
    """Return the two projections whose outputs are added to the residual stream."""
    return layer.get_submodule("attention.out"), layer.get_submodule("contract")


class Transformer(Backbone):
    """Reads a cell as a set of gene tokens behind one ``<cls>`` and mixes them by attention.

    What it returns is the residual stream itself: heads normalise for themselves. A last layer norm
    would level all tokens, and with them how much each gene says about the cell (measured in
    ``docs/lab-notes.md``).
    """

    name = "transformer"
    Config = TransformerConfig
    partial = True

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(config)
        self.embedding = TokenEmbedding(
            config.features,
            config.width,
            value_kind=config.value_kind,
            places=config.places,
            context=config.context,
            prior=config.prior,
            cold=config.cold,
        )
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.depth))
        self.initialise(0)

    @property
    def width(self) -> int:
        """Length of the vectors it returns."""
        return self.config.width

    @torch.no_grad()
    def initialise(self, seed: int) -> None:
        """Draw weights: unit normal for inputs, as GPT-2 (.02, less into the residual) inside."""
        generator = torch.Generator().manual_seed(seed)
        unit = ("embedding.feature.", "embedding.context.", "embedding.cls")
        residual = {id(part.weight) for layer in self.layers for part in into_residual(layer)}
        for name, parameter in self.named_parameters():
            module = self.get_submodule(name.rpartition(".")[0])
            if isinstance(module, nn.LayerNorm) or name.startswith("embedding.value.scale"):
                parameter.fill_(1.0 if name.endswith("weight") else 0.0)
            elif name.endswith("bias"):
                parameter.zero_()
            else:
                std = 0.02 / (2 * self.config.depth) ** 0.5 if id(parameter) in residual else 0.02
                if name.startswith(unit) or name.endswith((".hidden", ".widen.weight")):
                    std = 1.0
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)
        if isinstance(self.embedding.feature, FeatureTable):
            self.embedding.feature.start_from_prior()

    def as_dict(self) -> dict[str, Any]:
        """Name and settings; those of priors only where there are any."""
        told = super().as_dict()
        if not self.config.prior:
            told["config"] = {k: v for k, v in told["config"].items() if k not in ("prior", "cold")}
        return told

    def tell_priors(self, vectors: Float[Tensor, "features dims"]) -> None:
        """Take what is known of the features beforehand."""
        feature = self.embedding.feature
        if not isinstance(feature, FeatureTable):
            super().tell_priors(vectors)
        else:
            feature.prior.copy_(vectors)

    def forward(self, tokens: Tokens, *, skip: int = 0, only: Tensor | None = None) -> Hidden:
        """Put ``<cls>`` before each cell's tokens, mix, and take it apart again.

        Of the last layer only the rows `only` and ``<cls>`` are computed, if they are told; the
        vectors of other tokens are then zero.
        """
        self.check_skip(skip)
        table = self.embedding.feature.weight
        embedded, cls = self.embedding(tokens, table)
        frame = Frame.around(tokens, before=True, after=False)
        rows = frame.fill(embedded, cls, None)
        layers = self.layers[: self.config.depth - skip]
        rows = frame.through(rows, layers, heads=self.config.heads, only=only)
        return frame.take(rows, tokens, table)
