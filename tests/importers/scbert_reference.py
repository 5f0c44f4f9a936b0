"""scBERT's Performer, head by head and one cell at a time, under the published keys."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Attention(nn.Module):
    def __init__(self, width: int, heads: int, part: int = 64, features: int = 266):
        super().__init__()
        self.heads, self.part = heads, part
        for name in ("to_q", "to_k", "to_v"):
            setattr(self, name, nn.Linear(width, heads * part, bias=False))
        self.to_out = nn.Linear(heads * part, width)
        self.fast_attention = nn.Module()
        projection = torch.randn(features, part)
        self.fast_attention.register_buffer("projection_matrix", projection)

    def forward(self, rows: Tensor) -> Tensor:
        heads = [getattr(self, f"to_{name}")(rows).split(self.part, dim=1) for name in "qkv"]
        projection = self.fast_attention.projection_matrix
        raised = [key @ projection.T * self.part**-0.25 for key in heads[1]]
        highest = max(each.max() for each in raised)
        found = []
        for query, key, told, value in zip(heads[0], heads[1], raised, heads[2], strict=True):
            asked = query @ projection.T * self.part**-0.25
            asked_length = (query**2).sum(1, keepdim=True) / 2 / self.part**0.5
            told_length = (key**2).sum(1, keepdim=True) / 2 / self.part**0.5
            top = asked.max(1, keepdim=True).values
            ratio = len(projection) ** -0.5
            asked = ratio * ((asked - asked_length - top).exp() + 1e-4)
            told = ratio * ((told - told_length - highest).exp() + 1e-4)
            shares = asked @ told.T
            found.append(shares / shares.sum(1, keepdim=True) @ value)
        return self.to_out(torch.cat(found, 1))


class Normed(nn.Module):
    def __init__(self, width: int, inner: nn.Module):
        super().__init__()
        self.norm, self.fn = nn.LayerNorm(width), inner

    def forward(self, rows: Tensor) -> Tensor:
        return self.fn(self.norm(rows))


class Forward(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.fn = nn.ModuleDict(
            {"w1": nn.Linear(width, 4 * width), "w2": nn.Linear(4 * width, width)}
        )

    def forward(self, rows: Tensor) -> Tensor:
        return self.fn["w2"](nn.functional.gelu(self.fn["w1"](rows)))


class Reference(nn.Module):
    def __init__(self, genes: int, width: int, heads: int, depth: int):
        super().__init__()
        self.token_emb = nn.Embedding(7, width)
        self.pos_emb = nn.ModuleDict({"emb": nn.Embedding(genes + 1, width)})
        layers = [
            nn.ModuleList([Normed(width, Attention(width, heads)), Normed(width, Forward(width))])
            for _ in range(depth)
        ]
        self.performer = nn.Module()
        self.performer.net = nn.ModuleDict({"layers": nn.ModuleList(layers)})
        self.performer.register_buffer("calls_since_last_redraw", torch.tensor(0))
        self.norm = nn.LayerNorm(width)
        self.to_out = nn.Linear(width, 7)

    def forward(self, bins: Tensor) -> Tensor:
        """Return the vectors of all places of one cell."""
        rows = self.token_emb(bins) + self.pos_emb["emb"].weight
        for attention, forward in self.performer.net["layers"]:
            rows = rows + attention(rows)
            rows = rows + forward(rows)
        return self.norm(rows)
