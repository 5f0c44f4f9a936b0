"""A network without attention: a cell is the sum of its genes' vectors, each times its value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import embedding_bag, gelu

from pancyte.backbones.backbone import Backbone
from pancyte.backbones.feature_table import FeatureTable
from pancyte.errors import UsageError
from pancyte.shapes import Hidden, Tokens


@dataclass(frozen=True)
class SetConfig:
    """How large the network is.

    Attributes
    ----------
    features
        Size of the vocabulary; from the tokenizer.
    value_kind
        Meaning of the values; from the tokenizer, ``"continuous"``.
    places
        Longest cell; from the tokenizer.
    context
        Levels of each per-cell column; from the tokenizer.
    depth
        Number of layers that read the sum; 0 leaves the network linear.
    width
        Length of the vectors.
    expansion
        Width of the inner part of a layer, in widths.
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
    depth: int = 2
    width: int = 256
    expansion: int = 2
    dropout: float = 0.0
    prior: int = 0
    cold: float = 0.0

    def __post_init__(self) -> None:
        if self.value_kind != "continuous":
            raise UsageError(
                "The backbone 'set' adds up amounts, and this tokenizer gives ranks.",
                fix="Use it with the tokenizers continuous or bins.",
            )
        if self.depth < 0 or self.width < 1:
            raise UsageError(
                f"A set network of depth {self.depth} and width {self.width} cannot be built.",
                fix="Depth must be at least 0 and width at least 1.",
            )


class Block(nn.Module):
    """A feed-forward part, normalised before and added to its input."""

    def __init__(self, config: SetConfig) -> None:
        super().__init__()
        inner = config.width * config.expansion
        self.norm = nn.LayerNorm(config.width)
        self.expand = nn.Linear(config.width, inner)
        self.contract = nn.Linear(inner, config.width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, rows: Float[Tensor, "rows width"]) -> Float[Tensor, "rows width"]:
        """Update the vectors of cells."""
        return rows + self.dropout(self.contract(gelu(self.expand(self.norm(rows)))))


class SetNetwork(Backbone):
    """Reads a cell as a weighted set of genes, in one step that costs a thousandth of attention.

    A cell's vector is Σ value · feature vector less what it is for a usual cell, at unit scale, and
    then passed through residual layers: a deep set (Zaheer et al., NeurIPS 2017). Without layers
    and with prior vectors from co-expression it is a principal component analysis of the
    training corpus; training starts from there. A token's vector is its feature's, modulated by
    the cell's. A token whose value is withheld adds nothing to its cell.
    """

    name = "set"
    Config = SetConfig

    def __init__(self, config: SetConfig) -> None:
        super().__init__(config)
        features, width = config.features, config.width
        self.feature: nn.Embedding | FeatureTable = (
            FeatureTable(features, width, prior=config.prior, cold=config.cold)
            if config.prior
            else nn.Embedding(features, width)
        )
        self.context = nn.ModuleDict(
            {name: nn.Embedding(levels + 1, width) for name, levels in config.context.items()}
        )
        self.layers = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.tell = nn.Linear(width, width)
        self.usual = nn.Parameter(torch.zeros(width))
        self.initialise(0)

    @property
    def width(self) -> int:
        """Length of the vectors it returns."""
        return self.config.width

    @torch.no_grad()
    def initialise(self, seed: int) -> None:
        """Draw weights: unit normal for tables, .02 inside, less into the residual.

        A prior's vectors are turned and scaled to the same size, and keep their angles as far as
        there is room.
        """
        generator = torch.Generator().manual_seed(seed)
        for name, parameter in self.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if name.startswith(("feature.", "context.")):
                parameter.copy_(noise)
            elif parameter.ndim < 2:
                parameter.zero_()
            else:
                deep = (2 * self.config.depth) ** 0.5 if name.endswith(".contract.weight") else 1
                parameter.copy_(0.02 / deep * noise)
        for layer in self.layers:
            nn.init.ones_(layer.get_submodule("norm").get_parameter("weight"))
        if isinstance(self.feature, FeatureTable):
            basis = self.feature.basis.weight
            nn.init.orthogonal_(basis, gain=self.width**0.5, generator=generator)
            self.feature.start_from_prior()

    def tell_priors(self, vectors: Float[Tensor, "features dims"]) -> None:
        """Take what is known of the features beforehand."""
        if not isinstance(self.feature, FeatureTable):
            super().tell_priors(vectors)
        else:
            self.feature.prior.copy_(vectors)

    @torch.no_grad()
    def tell_usual(self, values: Float[Tensor, " features"]) -> None:
        """Begin with the sum of a usual cell as what is taken off."""
        self.usual.copy_(values @ self.feature.weight)

    def as_dict(self) -> dict[str, Any]:
        """Name and settings; those of priors only where there are any."""
        told = super().as_dict()
        if not self.config.prior:
            told["config"] = {k: v for k, v in told["config"].items() if k not in ("prior", "cold")}
        return told

    def forward(self, tokens: Tokens, *, skip: int = 0) -> Hidden:
        """Add up each cell's vectors, read the sum, and tell the tokens."""
        self.check_skip(skip)
        table = self.feature.weight
        ids, values = tokens.ids.clamp(min=0), tokens.values.nan_to_num(0.0)
        if tokens.visible is None:
            sums = embedding_bag(
                ids, table, tokens.offsets[:-1], mode="sum", per_sample_weights=values
            )
            cls = self._read(sums, tokens.context, skip)
            told = self.tell(cls)[tokens.cell_index]
        else:
            of_cells, of_tokens = _partial_sums(table[ids] * values.unsqueeze(1), tokens)
            cls = self._read(of_cells, tokens.context, skip)
            each = {name: codes[tokens.cell_index] for name, codes in tokens.context.items()}
            told = self.tell(self._read(of_tokens, each, skip))
        return Hidden(table[ids] * (1 + told), cls, tokens.offsets, table)

    def _read(
        self, sums: Float[Tensor, "rows width"], context: dict[str, Tensor], skip: int
    ) -> Float[Tensor, "rows width"]:
        rows = sums - self.usual
        rows = rows * rows.square().mean(dim=1, keepdim=True).add(1e-6).rsqrt()
        for name, codes in self.context.items():
            rows = rows + codes(context[name])
        for layer in self.layers[: self.config.depth - skip]:
            rows = layer(rows)
        return rows


def _partial_sums(
    parts: Float[Tensor, "tokens width"], tokens: Tokens
) -> tuple[Float[Tensor, "cells width"], Float[Tensor, "tokens width"]]:
    """Add up what each cell's ``<cls>`` and each token may see.

    Sums run within a cell, so that no rounding carries over from one cell to the next.
    """
    assert tokens.visible is not None
    cells, longest = len(tokens), int(tokens.lengths.max()) if len(tokens) else 0
    at = tokens.cell_index
    place = torch.arange(len(at), device=at.device) - tokens.offsets[:-1][at]
    flat = parts.new_zeros(cells * longest, parts.shape[1])
    running = flat.index_copy(0, at * longest + place, parts).view(cells, longest, -1).cumsum(1)
    first = torch.cat([running.new_zeros(cells, 1, parts.shape[1]), running], dim=1)
    beyond = (place >= tokens.visible).unsqueeze(1)
    of_tokens = first[at, tokens.visible] + parts * beyond
    filled = tokens.lengths > 0
    least = tokens.lengths.new_zeros(cells)
    least[filled] = tokens.visible[tokens.offsets[:-1][filled]]
    return first[torch.arange(cells, device=at.device), least], of_tokens
