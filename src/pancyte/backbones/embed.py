"""From a token to a vector: which feature, how much of it, and in what kind of cell."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pancyte.backbones.feature_table import FeatureTable
from pancyte.shapes import HIDDEN_ID, Tokens


class ContinuousValue(nn.Module):
    """Scale a feature's vector by how much of it there is; a withheld amount by a learned vector.

    Multiplying, which scGPT calls the scaling style, keeps the amount in the average over a
    cell's tokens from the first step on; a sum of two vectors leaves an untrained network blind to
    it (measured in ``docs/lab-notes.md``).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Linear(1, width)
        self.widen = nn.Linear(1, width)
        self.mix = nn.Linear(width, width)
        self.hidden = nn.Parameter(torch.empty(width))

    def forward(
        self, feature: Float[Tensor, "tokens width"], values: Float[Tensor, " tokens"]
    ) -> Float[Tensor, "tokens width"]:
        """Combine features with their values; NaN means withheld."""
        withheld = values.isnan().unsqueeze(1)
        # NaN must not enter the network even where its output is discarded: its gradient would
        visible = values.nan_to_num(0.0).unsqueeze(1)
        amount = self.scale(visible) + self.mix(nn.functional.gelu(self.widen(visible)))
        return feature * torch.where(withheld, self.hidden, amount)


class RankValue(nn.Module):
    """Add a learned vector for each rank to a feature's vector, as in BERT."""

    def __init__(self, width: int, places: int) -> None:
        super().__init__()
        self.places = nn.Embedding(places, width)

    def forward(
        self, feature: Float[Tensor, "tokens width"], values: Float[Tensor, " tokens"]
    ) -> Float[Tensor, "tokens width"]:
        """Combine features with their ranks."""
        return feature + self.places(values.long().clamp(max=self.places.num_embeddings - 1))


class TokenEmbedding(nn.Module):
    """A feature's vector combined with its value; context is added to ``<cls>``.

    Parameters
    ----------
    features
        Size of the vocabulary.
    width
        Length of the vectors.
    value_kind
        What the values mean; set by the tokenizer.
    places
        Number of ranks, where the values are ranks.
    context
        Number of known levels of each per-cell column.
    prior, cold
        Length of the features' prior vectors, 0 if there are none; as in `FeatureTable`.
    """

    def __init__(
        self,
        features: int,
        width: int,
        *,
        value_kind: Literal["continuous", "rank"],
        places: int,
        context: dict[str, int],
        prior: int = 0,
        cold: float = 0.0,
    ) -> None:
        super().__init__()
        self.feature: nn.Embedding | FeatureTable = (
            FeatureTable(features, width, prior=prior, cold=cold)
            if prior
            else nn.Embedding(features, width)
        )
        self.value = RankValue(width, places) if value_kind == "rank" else ContinuousValue(width)
        self.cls = nn.Parameter(torch.empty(width))
        self.hidden = nn.Parameter(torch.empty(width)) if value_kind == "rank" else None
        self.context = nn.ModuleDict(
            {name: nn.Embedding(levels + 1, width) for name, levels in context.items()}
        )

    def forward(
        self, tokens: Tokens, table: Float[Tensor, "features width"]
    ) -> tuple[Float[Tensor, "tokens width"], Float[Tensor, "cells width"]]:
        """Return the vectors of the tokens and of each cell's ``<cls>``.

        `table` is ``feature.weight``, which the caller has asked for already.
        """
        embedded = nn.functional.embedding(tokens.ids.clamp(min=0), table)
        if self.hidden is not None:
            withheld = (tokens.ids == HIDDEN_ID).unsqueeze(1)
            embedded = torch.where(withheld, self.hidden, embedded)
        cls = self.cls.expand(len(tokens), -1)
        for name, levels in self.context.items():
            cls = cls + levels(tokens.context[name])
        return self.value(embedded, tokens.values), cls
