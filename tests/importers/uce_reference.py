"""UCE's forward pass on PyTorch's own encoder, one sentence at a time, under the published keys."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def block(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(before, after), nn.LayerNorm(after), nn.GELU())


class Reference(nn.Module):
    """Its question about single genes is here by name only."""

    def __init__(self, rows: int, proteins: int, width: int, heads: int, inner: int, depth: int):
        super().__init__()
        self.width = width
        self.pe_embedding = nn.Embedding(rows, proteins)
        self.encoder = nn.Sequential(nn.Linear(proteins, width), nn.GELU(), nn.LayerNorm(width))
        self.pos_encoder = nn.Module()
        place = torch.arange(1536)[:, None] / 1e4 ** (torch.arange(0, width, 2) / width)
        waves = torch.stack([place.sin(), place.cos()], 2).flatten(1)
        self.pos_encoder.register_buffer("pe", waves[:, None])
        layer = nn.TransformerEncoderLayer(width, heads, inner, 0.0)
        self.transformer_encoder = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.decoder = nn.Sequential(
            block(width, 48), block(48, width), block(width, width), nn.Linear(width, width)
        )
        self.binary_decoder = nn.Sequential(block(2 * width, 8), nn.Linear(8, 1))
        self.gene_embedding_layer = nn.Sequential(nn.Linear(proteins, width))

    def forward(self, sentence: Tensor) -> Tensor:
        """Return the vectors of all places of one sentence of row numbers."""
        proteins = nn.functional.normalize(self.pe_embedding(sentence), dim=1)
        rows = self.encoder(proteins)[:, None] * math.sqrt(self.width)
        rows = self.transformer_encoder(rows + self.pos_encoder.pe[: len(rows)])
        return self.decoder(rows)[:, 0]
