"""BERT over the ranked genes of a cell: the network of Geneformer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pancyte.backbones.frame import Frame
from pancyte.backbones.postnorm import (
    Activation,
    PostNormBackbone,
    check_no_context,
    check_shape,
    draw,
    fill_sizes,
)
from pancyte.errors import UsageError
from pancyte.shapes import HIDDEN_ID, Hidden, Tokens

HEAD_WIDTH = 64


@dataclass(frozen=True)
class BertConfig:
    """Geneformer's sizes; the published ones are in ``docs/published-models.md``.

    Attributes
    ----------
    features
        Size of the vocabulary, without special tokens; from the tokenizer.
    value_kind
        ``"rank"``; from the tokenizer.
    places
        Longest cell, in genes; from the tokenizer.
    context
        Not used; must be empty.
    depth, width, heads, inner
        Layers, length of the vectors, attention heads and width of the feed-forward part; 0 means
        64 · depth, one head for each 64 of width, and twice the width.
    activation, norm_eps, dropout
        As in BERT's own configuration.
    cls, eos
        Whether a cell is framed by ``<cls>`` and ``<eos>``, as in Geneformer V2.
    """

    features: int
    value_kind: Literal["continuous", "rank"]
    places: int
    context: dict[str, int] = field(default_factory=dict)
    depth: int = 6
    width: int = 0
    heads: int = 0
    inner: int = 0
    activation: Activation = "relu"
    norm_eps: float = 1e-12
    dropout: float = 0.02
    cls: bool = False
    eos: bool = False

    def __post_init__(self) -> None:
        fill_sizes(self, layer=HEAD_WIDTH, head=HEAD_WIDTH, inner=2)
        check_shape("bert", self.depth, self.width, self.heads)
        if self.value_kind != "rank":
            raise UsageError(
                f"bert reads ranks, not {self.value_kind} values.",
                fix="Use the tokenizer rank or geneformer.",
            )
        check_no_context("bert", self.context)


class BertEmbedding(nn.Module):
    """Which gene, and at which place of the cell, normalised."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.before = int(config.cls)
        self.feature = nn.Embedding(config.features, config.width)
        self.place = nn.Embedding(config.places + config.cls + config.eos, config.width)
        self.kind = nn.Parameter(torch.empty(config.width))
        self.hidden = nn.Parameter(torch.empty(config.width))
        self.cls = nn.Parameter(torch.empty(config.width)) if config.cls else None
        self.eos = nn.Parameter(torch.empty(config.width)) if config.eos else None
        self.norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, tokens: Tokens, frame: Frame) -> Float[Tensor, "rows width"]:
        """Return the rows that go into the first layer."""
        genes = self.feature(tokens.ids.clamp(min=0))
        withheld = (tokens.ids == HIDDEN_ID).unsqueeze(1)
        rows = frame.fill(torch.where(withheld, self.hidden, genes), self.cls, self.eos)
        places = frame.fill(
            tokens.values.unsqueeze(1) + self.before,
            tokens.values.new_zeros(1),
            (tokens.lengths + self.before).to(tokens.values.dtype).unsqueeze(1),
        )
        placed = self.place(places.squeeze(1).long().clamp(max=self.place.num_embeddings - 1))
        return self.dropout(self.norm(rows + self.kind + placed))


class Bert(PostNormBackbone):
    """Reads a cell as a sentence of genes, the most telling first, as Geneformer does.

    BERT (Devlin et al., NAACL 2019) with learned places, as configured by Geneformer (Theodoris
    et al., Nature 2023): the same numbers as ``transformers.BertModel`` with the same weights, to
    1e-5. Without ``<cls>`` a cell's vector is the mean of its genes'.
    """

    name = "bert"
    value_kind = "rank"
    partial = True
    Config = BertConfig

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.embedding = BertEmbedding(config)
        self.layers = self.stack(
            activation=config.activation, eps=config.norm_eps, inner_dropout=False
        )
        self.initialise(0)

    def initialise(self, seed: int) -> None:
        """Draw weights as BERT does: normal with deviation .02."""
        draw(self, seed)

    def forward(self, tokens: Tokens, *, skip: int = 0, only: Tensor | None = None) -> Hidden:
        """Place the genes, mix them, and leave out the last `skip` layers."""
        frame = Frame.around(tokens, before=self.config.cls, after=self.config.eos)
        rows = self.embedding(tokens, frame)
        rows = self.mixed(frame, rows, skip=skip, only=only)
        return frame.take(rows, tokens, self.embedding.feature.weight)
