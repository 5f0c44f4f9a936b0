"""The network of TranscriptFormer: genes one after another, attended to by how many counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import gelu, relu, silu

from pancyte.backbones.backbone import Backbone, Pooling
from pancyte.backbones.postnorm import check_shape, draw, fill_sizes
from pancyte.errors import UsageError
from pancyte.shapes import HIDDEN_ID, Hidden, Tokens, offsets_of

HEAD_WIDTH = 128
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"gelu": gelu, "relu": relu, "silu": silu}
LARGEST = 1e6
"""Scores beyond this are cut before they are squeezed, as in the published code."""


@dataclass(frozen=True)
class TranscriptformerConfig:
    """TranscriptFormer's sizes; the published ones are in ``docs/published-models.md``.

    Attributes
    ----------
    features
        Size of the vocabulary, without special tokens; from the tokenizer.
    value_kind
        ``"continuous"``: counts; from the tokenizer.
    places
        Longest cell; from the tokenizer. The published embedding divides by one more.
    context
        Number of known levels of each per-cell column, such as the assay; a cell whose level is not
        known has no token for it.
    depth, width, heads, inner
        Layers, length of the vectors, attention heads and width of the feed-forward part; 0 means
        64 · depth, one head for each 128 of width, and the width.
    proteins
        Length of the proteins' vectors; ESM2's are 2,560 long here.
    activation
        Of the feed-forward part.
    softcap
        No score of attention goes beyond this; 0 means no limit.
    count_eps
        What is added to counts before the logarithm.
    attention_bias, inner_bias
        Whether the maps of attention and of the feed-forward part have a bias.
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
    proteins: int = 64
    activation: Literal["gelu", "relu", "silu"] = "gelu"
    softcap: float = 10.0
    count_eps: float = 1e-6
    attention_bias: bool = False
    inner_bias: bool = False
    dropout: float = 0.1

    def __post_init__(self) -> None:
        fill_sizes(self, layer=64, head=HEAD_WIDTH, inner=1)
        check_shape("transcriptformer", self.depth, self.width, self.heads)
        if self.value_kind != "continuous":
            raise UsageError(
                f"transcriptformer reads counts, not a {self.value_kind}.",
                fix="Use the tokenizer transcriptformer.",
            )


class TranscriptformerEmbedding(nn.Module):
    """The vector of a gene's protein, brought into the network's width."""

    protein: Tensor
    start: Tensor
    hidden: Tensor

    def __init__(self, config: TranscriptformerConfig) -> None:
        super().__init__()
        self.register_buffer("protein", torch.zeros(config.features, config.proteins))
        self.register_buffer("start", torch.zeros(config.proteins))
        self.register_buffer("hidden", torch.zeros(config.proteins))
        self.widen = nn.Linear(config.proteins, config.width)
        self.norm = nn.LayerNorm(config.width)
        self.mix = nn.Linear(config.width, config.width)
        self.level = nn.ModuleDict(
            {name: nn.Embedding(levels, config.width) for name, levels in config.context.items()}
        )
        self.dropout = nn.Dropout(config.dropout)

    def projected(self, proteins: Float[Tensor, "rows proteins"]) -> Float[Tensor, "rows width"]:
        """Bring proteins' vectors into the network's width."""
        return self.mix(self.dropout(self.norm(self.widen(proteins).relu())))

    def forward(self, ids: Tensor) -> tuple[Float[Tensor, "rows width"], Float[Tensor, " width"]]:
        """Return a vector for each gene, and that of the start."""
        distinct, which = ids.unique(return_inverse=True)
        proteins = self.protein.index_select(0, distinct.clamp(min=0))
        proteins = torch.where((distinct == HIDDEN_ID).unsqueeze(1), self.hidden, proteins)
        known = self.projected(torch.cat([proteins, self.start.unsqueeze(0)]))
        return known.index_select(0, which), known[-1]


class CountLayer(nn.Module):
    """Normalise, attend to what comes before with a bonus for counts; the same feed-forward.

    Each sum goes back to the normalised input, not to the input itself, as in the published code.
    """

    def __init__(self, config: TranscriptformerConfig) -> None:
        super().__init__()
        width = config.width
        self.heads, self.softcap = config.heads, config.softcap
        self.activation: Callable[[Tensor], Tensor] = ACTIVATIONS[config.activation]
        self.norm_attention = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=config.attention_bias)
        self.out = nn.Linear(width, width, bias=config.attention_bias)
        self.norm_forward = nn.LayerNorm(width)
        self.expand = nn.Linear(width, config.inner, bias=config.inner_bias)
        self.contract = nn.Linear(config.inner, width, bias=config.inner_bias)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, rows: Float[Tensor, "rows width"], bonus: list[Tensor], seen: list[Tensor | None]
    ) -> Float[Tensor, "rows width"]:
        """Update the rows of each cell; `bonus` of each key, and what else may not be `seen`."""
        rows = self.norm_attention(rows)
        lengths = [len(each) for each in bonus]
        whole = self.qkv(rows).view(len(rows), 3, self.heads, -1).permute(1, 2, 0, 3)
        cells = zip(whole.split(lengths, dim=2), bonus, seen, strict=True)
        parts = [self._mixed(each[0], each[1], each[2], one, other) for each, one, other in cells]
        mixed = torch.cat(parts, dim=1).transpose(0, 1).flatten(1)
        rows = self.norm_forward(self.out(mixed) + rows)
        return self.contract(self.dropout(self.activation(self.expand(rows)))) + rows

    def _mixed(
        self, query: Tensor, key: Tensor, value: Tensor, bonus: Tensor, seen: Tensor | None
    ) -> Tensor:
        hidden = ~torch.ones(len(bonus), len(bonus), dtype=torch.bool, device=bonus.device).tril()
        if seen is not None:
            hidden |= ~seen
        scale = query.shape[-1] ** -0.5
        # head by head, as all scores of a long cell at once would fill the memory
        heads = []
        for one, other, values in zip(query, key, value, strict=True):
            scores = one @ other.T * scale + bonus
            if self.softcap:
                capped = scores.clamp(-LARGEST, LARGEST) / self.softcap
                scores = capped.tanh() * self.softcap
            heads.append(scores.masked_fill(hidden, -torch.inf).softmax(dim=1) @ values)
        return torch.stack(heads)


class Transcriptformer(Backbone):
    """Reads a cell gene by gene, each knowing what came before, and attends more to more counts.

    The network of TranscriptFormer (Pearce et al., bioRxiv 2025): the same numbers as its published
    code with the same weights, to 1e-5. Genes are told apart by their proteins' vectors, which are
    the same in all species. ``<cls>`` is the start, which sees no gene. The pooling ``"own"`` is
    the published embedding, the sum over the start and all genes divided by the longest length.
    """

    name = "transcriptformer"
    value_kind = "continuous"
    Config = TranscriptformerConfig

    def __init__(self, config: TranscriptformerConfig) -> None:
        super().__init__(config)
        self.embedding = TranscriptformerEmbedding(config)
        self.layers = nn.ModuleList(CountLayer(config) for _ in range(config.depth))
        self.initialise(0)

    @property
    def width(self) -> int:
        """Length of the vectors it returns."""
        return self.config.width

    def initialise(self, seed: int) -> None:
        """Draw weights, and vectors of proteins until they are told: one over the root of width."""
        draw(self, seed, std=self.config.width**-0.5)
        generator = torch.Generator().manual_seed(seed)
        for vectors in (self.embedding.protein, self.embedding.start, self.embedding.hidden):
            vectors.copy_(torch.randn(vectors.shape, generator=generator))

    def forward(self, tokens: Tokens, *, skip: int = 0) -> Hidden:
        """Line up genes behind the start, mix them, and leave out the last `skip` layers."""
        self.check_skip(skip)
        told = [name for name in self.config.context if name in tokens.context]
        codes = torch.stack([tokens.context[name] for name in told]) if told else None
        known = tokens.lengths.new_zeros(0, len(tokens)) if codes is None else (codes > 0).long()
        before = known.sum(0) + 1
        offsets = offsets_of(tokens.lengths + before)
        cells = tokens.cell_index
        at_start = offsets[:-1] + before - 1
        shift = offsets[:-1] - tokens.offsets[:-1] + before
        at_token = torch.arange(len(tokens.ids), device=offsets.device) + shift[cells]
        genes, start = self.embedding(tokens.ids)
        rows = genes.new_empty(int(offsets[-1]), self.width).index_copy(0, at_token, genes)
        rows = rows.index_copy(0, at_start, start.expand(len(at_start), -1))
        for number, name in enumerate(told):
            here = known[number].nonzero().squeeze(1)
            at = offsets[:-1][here] + known[:number, here].sum(0)
            level = self.embedding.level[name](tokens.context[name][here] - 1)
            rows = rows.index_copy(0, at, level)
        counts = rows.new_ones(len(rows)).index_copy(0, at_token, tokens.values.nan_to_num(0.0))
        bonus = (counts + self.config.count_eps).log1p().split(offsets.diff().tolist())
        seen = _seen(tokens, before)
        for layer in self.layers[: self.config.depth - skip]:
            rows = layer(rows, list(bonus), seen)
        table = self.embedding.projected(self.embedding.protein)
        found, cls = rows.index_select(0, at_token), rows.index_select(0, at_start)
        return Hidden(found, cls, tokens.offsets, table)

    def pooled(self, tokens: Tokens, *, pooling: Pooling, skip: int = 0) -> Tensor:
        """Average, take the start, or add all up and divide by the longest length."""
        if pooling != "own":
            return super().pooled(tokens, pooling=pooling, skip=skip)
        hidden = self(tokens, skip=skip)
        total = hidden.mean() * tokens.lengths.unsqueeze(1) + hidden.cls
        return total / (self.config.places + 1)

    def pooled_width(self, pooling: Pooling) -> int:
        """Length of a cell's vector."""
        return self.width


def _seen(tokens: Tokens, before: Tensor) -> list[Tensor | None]:
    """Say of each cell what each row may see, where that is not all before it."""
    if tokens.visible is None:
        return [None] * len(tokens)
    found: list[Tensor | None] = []
    parts = tokens.visible.split(tokens.lengths.tolist())
    for visible, first in zip(parts, before.tolist(), strict=True):
        until = torch.cat([visible.new_full((first,), first), visible + first])
        place = torch.arange(len(until), device=until.device)
        found.append((place < until.unsqueeze(1)) | (place == place.unsqueeze(1)))
    return found
