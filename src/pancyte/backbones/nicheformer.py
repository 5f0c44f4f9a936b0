"""The network of Nicheformer: ranked genes behind tokens of species, assay and modality."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pancyte.backbones.backbone import Pooling
from pancyte.backbones.frame import Frame
from pancyte.backbones.postnorm import PostNormBackbone, check_shape, draw, fill_sizes
from pancyte.errors import UsageError
from pancyte.shapes import HIDDEN_ID, Hidden, Tokens, offsets_of

HEAD_WIDTH = 32


@dataclass(frozen=True)
class NicheformerConfig:
    """Nicheformer's sizes; the published ones are in ``docs/published-models.md``.

    Attributes
    ----------
    features
        Size of the vocabulary, without special tokens; from the tokenizer.
    value_kind
        ``"rank"``; from the tokenizer.
    places
        Longest cell, in genes; from the tokenizer.
    context
        Number of known levels of each per-cell column, in the order in which they stand before the
        genes; a cell whose level is not known has no token for it.
    depth, width, heads, inner
        Layers, length of the vectors, attention heads and width of the feed-forward part; 0 means
        64 · depth, one head for each 32 of width, and twice the width.
    norm_eps, dropout
        What the norms add to the variance; share set to zero in training.
    """

    features: int
    value_kind: Literal["continuous", "rank"]
    places: int
    context: dict[str, int] = field(default_factory=dict)
    depth: int = 12
    width: int = 0
    heads: int = 0
    inner: int = 0
    norm_eps: float = 1e-12
    dropout: float = 0.0

    def __post_init__(self) -> None:
        fill_sizes(self, layer=64, head=HEAD_WIDTH, inner=2)
        check_shape("nicheformer", self.depth, self.width, self.heads)
        if self.value_kind != "rank":
            raise UsageError(
                f"nicheformer reads ranks, not {self.value_kind} values.",
                fix="Use the tokenizer nicheformer or rank.",
            )


class NicheformerEmbedding(nn.Module):
    """Which gene or property of the cell, and at which place."""

    pad: Tensor

    def __init__(self, config: NicheformerConfig) -> None:
        super().__init__()
        self.columns = list(config.context)
        self.feature = nn.Embedding(config.features, config.width)
        self.place = nn.Embedding(config.places + len(config.context), config.width)
        self.hidden = nn.Parameter(torch.empty(config.width))
        self.level = nn.ModuleDict(
            {name: nn.Embedding(levels, config.width) for name, levels in config.context.items()}
        )
        # no gradient ever reaches what fills short cells up
        self.register_buffer("pad", torch.zeros(config.width))
        self.dropout = nn.Dropout(config.dropout)

    def framed(self, tokens: Tokens) -> tuple[Frame, Float[Tensor, "rows width"]]:
        """Lay out rows, the known properties of a cell first, and return what goes in."""
        codes = [tokens.context[name] for name in self.columns if name in tokens.context]
        told = [name for name in self.columns if name in tokens.context]
        known = torch.stack([code > 0 for code in codes]) if codes else _none(tokens)
        before = known.sum(0)
        offsets = offsets_of(tokens.lengths + before)
        shift = offsets[:-1] - tokens.offsets[:-1] + before
        cells = tokens.cell_index
        at_token = torch.arange(len(tokens.ids), device=offsets.device) + shift[cells]
        frame = Frame(offsets, at_token, None, None, _visible(tokens, offsets, at_token, before))
        genes = self.feature(tokens.ids.clamp(min=0))
        withheld = (tokens.ids == HIDDEN_ID).unsqueeze(1)
        rows = frame.fill(torch.where(withheld, self.hidden, genes), None, None)
        places = frame.fill(tokens.values.unsqueeze(1) + before[cells].unsqueeze(1), None, None)
        for number, name in enumerate(told):
            here = known[number].nonzero().squeeze(1)
            rank = known[:number, here].sum(0)
            at = offsets[:-1][here] + rank
            rows = rows.index_copy(0, at, self.level[name](codes[number][here] - 1))
            places = places.index_copy(0, at, rank.to(places.dtype).unsqueeze(1))
        placed = self.place(places.squeeze(1).long().clamp(max=self.place.num_embeddings - 1))
        return frame, self.dropout(rows + placed)

    def padding(self, frame: Frame) -> tuple[Float[Tensor, "pads width"], Int[Tensor, " cells"]]:
        """Return what goes in at the empty places behind each cell, and how many there are."""
        longest = self.place.num_embeddings
        empty = longest - frame.offsets.diff()
        places = [self.place.weight[longest - count :] for count in empty.tolist()]
        return self.pad + torch.cat(places), empty


class Nicheformer(PostNormBackbone):
    """Reads a cell as its genes, the most telling first, behind its species, assay and modality.

    The encoder of Nicheformer (Schaar, Tejada-Lapuerta et al., 2024): the same numbers as its
    published code with the same weights, to 1e-5. A cell's vector is the mean of its genes'. The
    published embedding also averages over the empty places behind a short cell, and so tells how
    many genes a cell expresses: that is the pooling ``"own"``, which costs as much for a short cell
    as for the longest.
    """

    name = "nicheformer"
    value_kind = "rank"
    Config = NicheformerConfig

    def __init__(self, config: NicheformerConfig) -> None:
        super().__init__(config)
        self.embedding = NicheformerEmbedding(config)
        self.layers = self.stack(eps=config.norm_eps)
        self.initialise(0)

    def initialise(self, seed: int) -> None:
        """Draw weights: normal with deviation .02."""
        draw(self, seed)

    def forward(self, tokens: Tokens, *, skip: int = 0) -> Hidden:
        """Place genes and properties, mix them, and leave out the last `skip` layers."""
        frame, rows = self.embedding.framed(tokens)
        rows = self.mixed(frame, rows, skip=skip)
        return frame.take(rows, tokens, self.embedding.feature.weight)

    def pooled(self, tokens: Tokens, *, pooling: Pooling, skip: int = 0) -> Tensor:
        """Average each cell's genes; for ``"own"`` the empty places behind them too."""
        if pooling != "own":
            return super().pooled(tokens, pooling=pooling, skip=skip)
        self.check_skip(skip)
        frame, rows = self.embedding.framed(tokens)
        pads, empty = self.embedding.padding(frame)
        bounds = offsets_of(empty)
        layout = frame.layout(rows, self.config.heads, dropout=self.drops)
        layers: Any = self.layers[: self.config.depth - skip]
        for layer in layers:
            rows, pads = layer(rows, layout), layer.beside(pads, bounds, rows, layout)
        hidden = frame.take(rows, tokens, self.embedding.feature.weight)
        counts = tokens.lengths.unsqueeze(1)
        behind = torch.stack([part.sum(0) for part in pads.split(empty.tolist())])
        return (hidden.mean() * counts + behind) / (counts + empty.unsqueeze(1))

    def pooled_width(self, pooling: Pooling) -> int:
        """Length of a cell's vector."""
        return self.width


def _none(tokens: Tokens) -> Tensor:
    return torch.zeros(0, len(tokens), dtype=torch.bool, device=tokens.offsets.device)


def _visible(
    tokens: Tokens, offsets: Tensor, at_token: Tensor, before: Int[Tensor, " cells"]
) -> Tensor | None:
    """Turn what tokens see into what rows see; the cell's properties see one another."""
    if tokens.visible is None:
        return None
    rows = torch.repeat_interleave(before, offsets.diff())
    return rows.index_copy(0, at_token, tokens.visible + before[tokens.cell_index])
