"""The network of UCE: a sentence of genes along the genome, each by the vector of its protein."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import gelu, normalize

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
from pancyte.shapes import HIDDEN_ID, Hidden, Tokens

HEAD_WIDTH = 64


@dataclass(frozen=True)
class UCEConfig:
    """UCE's sizes; the published ones are in ``docs/published-models.md``.

    Attributes
    ----------
    features
        Size of the vocabulary, marks of chromosomes included; from the tokenizer.
    value_kind
        ``"rank"``: the place in the sentence; from the tokenizer.
    places
        Longest sentence, without ``<cls>``; from the tokenizer.
    context
        Not used; must be empty.
    depth, width, heads, inner
        Layers, length of the vectors, attention heads and width of the feed-forward part; 0 means
        64 · depth, one head for each 64 of width, and four times the width.
    proteins
        Length of the proteins' vectors; ESM2's are 5,120 long.
    reading
        Width of the first block behind the layers.
    dropout
        Share set to zero in training.
    """

    features: int
    value_kind: Literal["continuous", "rank"]
    places: int
    context: dict[str, int] = field(default_factory=dict)
    depth: int = 4
    width: int = 0
    heads: int = 0
    inner: int = 0
    proteins: int = 64
    reading: int = 1024
    dropout: float = 0.05

    def __post_init__(self) -> None:
        fill_sizes(self, layer=HEAD_WIDTH, head=HEAD_WIDTH, inner=4)
        check_shape("uce", self.depth, self.width, self.heads)
        if self.value_kind != "rank":
            raise UsageError(
                f"uce reads places in a sentence, not {self.value_kind} values.",
                fix="Use the tokenizer uce or genome.",
            )
        check_no_context("uce", self.context)


class UCEEmbedding(nn.Module):
    """The vector of a gene's protein, projected, and its place in the sentence."""

    protein: Tensor
    cls: Tensor
    hidden: Tensor
    place: Tensor

    def __init__(self, config: UCEConfig) -> None:
        super().__init__()
        self.width = config.width
        # told from outside, and the same in all species: no training changes them
        self.register_buffer("protein", torch.zeros(config.features, config.proteins))
        self.register_buffer("cls", torch.zeros(config.proteins))
        self.register_buffer("hidden", torch.zeros(config.proteins))
        self.register_buffer("place", waves(config.places + 1, config.width).unsqueeze(1))
        self.project = nn.Linear(config.proteins, config.width)
        self.norm = nn.LayerNorm(config.width)
        self.dropout = nn.Dropout(config.dropout)

    def projected(self, proteins: Float[Tensor, "rows proteins"]) -> Float[Tensor, "rows width"]:
        """Bring proteins' vectors to length 1 and into the network's width."""
        return self.norm(gelu(self.project(normalize(proteins, dim=1))))

    def forward(self, tokens: Tokens, frame: Frame) -> Float[Tensor, "rows width"]:
        """Return the rows that go into the first layer."""
        # a gene stands in many cells and many times in one
        distinct, which = tokens.ids.unique(return_inverse=True)
        proteins = self.protein.index_select(0, distinct.clamp(min=0))
        proteins = torch.where((distinct == HIDDEN_ID).unsqueeze(1), self.hidden, proteins)
        known = self.projected(torch.cat([proteins, self.cls.unsqueeze(0)]))
        rows = frame.fill(known.index_select(0, which), known[-1], None) * math.sqrt(self.width)
        first = tokens.values.new_zeros(1)
        places = frame.fill(tokens.values.unsqueeze(1) + 1, first, None).squeeze(1).long()
        return self.dropout(rows + self.place[places.clamp(max=len(self.place) - 1), 0])


class UCE(PostNormBackbone):
    """Reads a cell as a sentence of its genes along the genome, in the language of proteins.

    The network of UCE (Rosen et al., bioRxiv 2023): the same numbers as its published code with
    the same weights for a cell by itself, to 1e-5. In the published code a sentence that is shorter
    than another of its batch also sees the empty places behind it; here no cell sees others.
    """

    name = "uce"
    value_kind = "rank"
    partial = True
    Config = UCEConfig

    def __init__(self, config: UCEConfig) -> None:
        super().__init__(config)
        self.embedding = UCEEmbedding(config)
        self.layers = self.stack()
        widths = (config.width, config.reading, config.width, config.width)
        self.reading = nn.Sequential(
            *(block(widths[place], widths[place + 1], config.dropout) for place in range(3)),
            nn.Linear(config.width, config.width),
        )
        self.initialise(0)

    def initialise(self, seed: int) -> None:
        """Draw weights, and vectors of proteins until they are told: one over the root of width."""
        draw(self, seed, std=self.config.width**-0.5)
        generator = torch.Generator().manual_seed(seed)
        for vectors in (self.embedding.protein, self.embedding.cls, self.embedding.hidden):
            vectors.copy_(torch.randn(vectors.shape, generator=generator))

    def forward(self, tokens: Tokens, *, skip: int = 0, only: Tensor | None = None) -> Hidden:
        """Place the genes, mix them, leave out the last `skip` layers, and read off the answer."""
        frame, rows = self._read(tokens, skip, only)
        return frame.take(rows, tokens, self.embedding.projected(self.embedding.protein))

    def pooled(self, tokens: Tokens, *, pooling: Pooling, skip: int = 0) -> Tensor:
        """Read off ``<cls>`` alone, or average all tokens; without a look at all proteins."""
        self.pooled_width(pooling)
        frame, rows = self._read(tokens, skip, self.reads_for(pooling, tokens))
        hidden = frame.take(rows, tokens, rows[:0])
        return hidden.cls if pooling == "cls" else hidden.mean()

    def _read(self, tokens: Tokens, skip: int, only: Tensor | None) -> tuple[Frame, Tensor]:
        frame = Frame.around(tokens, before=True, after=False)
        rows = self.embedding(tokens, frame)
        return frame, self.mixed(frame, rows, skip=skip, only=only, then=self.reading)


def block(before: int, after: int, dropout: float) -> nn.Sequential:
    """Make a linear map, a norm and an activation."""
    parts = (nn.Linear(before, after), nn.LayerNorm(after), nn.GELU(), nn.Dropout(dropout))
    return nn.Sequential(*parts)


def waves(places: int, width: int) -> Float[Tensor, "places width"]:
    """Tell places by sines and cosines (Vaswani et al., NeurIPS 2017)."""
    place = torch.arange(places).unsqueeze(1)
    rate = torch.exp(torch.arange(0, width, 2) * (-math.log(1e4) / width))
    found = torch.zeros(places, width)
    found[:, 0::2] = torch.sin(place * rate)
    found[:, 1::2] = torch.cos(place * rate[: width // 2])
    return found
