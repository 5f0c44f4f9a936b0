"""TranscriptFormer's forward pass, padded and with explicit masks, under the published keys."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Layer(nn.Module):
    def __init__(self, width: int, heads: int, inner: int):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        maps = [nn.Linear(width, width, bias=False) for _ in range(4)]
        self.self_attn = nn.ModuleDict({"linears": nn.ModuleList(maps)})
        self.linear1 = nn.Linear(width, inner, bias=False)
        self.linear2 = nn.Linear(inner, width, bias=False)

    def forward(self, rows: Tensor, bonus: Tensor, real: Tensor) -> Tensor:
        rows = self.norm1(rows)
        maps = self.self_attn["linears"]
        query, key, value = (
            part(rows).unflatten(2, (self.heads, -1)).transpose(1, 2) for part in maps[:3]
        )
        scores = query @ key.transpose(2, 3) / query.shape[3] ** 0.5
        scores = 10 * torch.tanh((scores + bonus[:, None, None, :]) / 10)
        before = torch.ones(rows.shape[1], rows.shape[1]).tril().bool()
        scores = scores.masked_fill(~(before & real[:, None, None, :]), -torch.inf)
        # a row that sees nothing gets nothing, and nothing sees it
        mixed = scores.softmax(3).nan_to_num(0.0) @ value
        rows = self.norm2(maps[3](mixed.transpose(1, 2).flatten(2)) + rows)
        return self.linear2(nn.functional.gelu(self.linear1(rows))) + rows


class Reference(nn.Module):
    """Number of the padding, the start and an unknown assay as given; of its heads only names."""

    def __init__(self, tokens: int, proteins: int, width: int, heads: int, inner: int, depth: int):
        super().__init__()
        self.gene_embeddings = nn.ModuleDict(
            {
                "embedding": nn.Embedding(tokens, proteins),
                "mlp": nn.ModuleDict(
                    {
                        "layers": nn.Sequential(
                            nn.Linear(proteins, width),
                            nn.ReLU(),
                            nn.LayerNorm(width),
                            nn.Dropout(0.0),
                            nn.Linear(width, width),
                        )
                    }
                ),
            }
        )
        self.aux_embeddings = nn.ModuleDict({"assay": nn.Embedding(4, width)})
        layers = nn.ModuleList(Layer(width, heads, inner) for _ in range(depth))
        self.transformer_encoder = nn.ModuleDict({"encoder_layers": layers})
        self.mu = nn.ModuleDict({"gene_embedding": nn.Embedding(tokens, 1)})
        self.gene_id_head = nn.ModuleDict({"layers": nn.Sequential(nn.Linear(width, tokens))})

    def forward(
        self, genes: Tensor, counts: Tensor, assay: Tensor, *, start: int, pad: int, unknown: int
    ) -> dict[str, Tensor]:
        """Embed cells of genes and counts, all of the same padded length."""
        shifted = torch.cat([torch.full_like(genes[:, :1], start), genes[:, :-1]], 1)
        known = self.gene_embeddings["embedding"](shifted)
        rows = self.gene_embeddings["mlp"]["layers"](known)
        rows = torch.cat([self.aux_embeddings["assay"](assay)[:, None], rows], 1)
        ones = torch.ones_like(counts[:, :1])
        bonus = torch.log1p(torch.cat([ones, ones, counts[:, :-1]], 1) + 1e-6)
        real = torch.cat([(assay != unknown)[:, None], shifted != pad], 1)
        for layer in self.transformer_encoder["encoder_layers"]:
            rows = layer(rows, bonus, real)
        rows = rows[:, 1:]
        return {"rows": rows, "cell": (rows * real[:, 1:, None]).mean(1)}
