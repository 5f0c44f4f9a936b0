"""scFoundation's cell encoder on PyTorch's layers, a cell at a time, with the published keys."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Reference(nn.Module):
    """The published model for cells; of its decoder only names."""

    def __init__(self, genes: int, width: int, heads: int, depth: int, bins: int, alpha: float):
        super().__init__()
        self.genes, self.alpha = genes, alpha
        self.token_emb = nn.ModuleDict(
            {
                "mlp": nn.Linear(1, bins),
                "mlp2": nn.Linear(bins, bins),
                "emb": nn.Embedding(bins, width),
                "emb_mask": nn.Embedding(1, width),
                "emb_pad": nn.Embedding(1, width),
            }
        )
        self.pos_emb = nn.Embedding(genes + 3, width)
        layers = [
            nn.TransformerEncoderLayer(width, heads, 4 * width, batch_first=True)
            for _ in range(depth)
        ]
        self.encoder = nn.ModuleDict(
            {"transformer_encoder": nn.ModuleList(layers), "norm": nn.LayerNorm(width)}
        )
        self.decoder_embed = nn.Linear(width, 32)
        self.norm = nn.LayerNorm(32)
        self.to_final = nn.Linear(32, 1)

    def values(self, values: Tensor) -> Tensor:
        spread = nn.functional.leaky_relu(self.token_emb["mlp"](values[..., None]), 0.1)
        mixture = (self.alpha * spread + self.token_emb["mlp2"](spread)).softmax(-1)
        return mixture @ self.token_emb["emb"].weight

    def forward(self, counts: Tensor, *, depth: float = 4.0) -> dict[str, Tensor]:
        """Embed one cell's raw counts of all genes, in double precision until they are read."""
        total = counts.sum()
        told = torch.log1p(counts / total * 1e4)
        whole = torch.cat([told, torch.stack([torch.tensor(depth).double(), total.log10()])])
        seen = whole.nonzero().squeeze(1)
        rows = self.values(whole[seen].float()) + self.pos_emb(seen)
        rows = rows[None]
        for layer in self.encoder["transformer_encoder"]:
            rows = layer(rows)
        rows = self.encoder["norm"](rows)[0]
        genes = rows[:-2]
        parts = [rows[-1], rows[-2], genes.max(0).values, genes.mean(0)]
        return {"seen": seen[:-2], "genes": genes, "cell": torch.cat(parts)}
