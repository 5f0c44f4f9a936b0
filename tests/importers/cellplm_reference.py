"""CellPLM's forward pass over all cells at once, under the published keys; clusters not drawn."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Layer(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        names = ("query_projection", "key_projection", "value_projection", "out_projection")
        self.self_attn = nn.ModuleDict({name: nn.Linear(width, width) for name in names})
        self._ff_block = nn.Sequential(
            nn.Linear(width, 2 * width),
            nn.GELU(),
            nn.Dropout(0.0),
            nn.Linear(2 * width, width),
        )
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def attended(self, cells: Tensor) -> Tensor:
        """Attend head by head, with every pair of cells written out."""
        count, part = len(cells), cells.shape[1] // self.heads
        maps = [self.self_attn[f"{name}_projection"](cells) for name in ("query", "key", "value")]
        found = []
        for head in range(self.heads):
            query, key, value = (one[:, head * part : (head + 1) * part] for one in maps)
            query, key = query.sigmoid(), key.sigmoid()
            into = 1 / ((query + 1e-6) * (key.sum(0) + 1e-6)).sum(1)
            out_of = 1 / ((key + 1e-6) * (query.sum(0) + 1e-6)).sum(1)
            kept_in = ((query + 1e-6) * ((key * out_of[:, None]).sum(0) + 1e-6)).sum(1)
            kept_out = ((key + 1e-6) * ((query * into[:, None]).sum(0) + 1e-6)).sum(1)
            share = kept_out.clamp(-1, 1).softmax(0) * count
            pairs = (query * into[:, None]) @ key.T
            found.append(pairs @ (value * share[:, None]) * kept_in.sigmoid()[:, None])
        return self.self_attn["out_projection"](torch.cat(found, 1))

    def forward(self, cells: Tensor) -> Tensor:
        cells = cells + self.attended(self.norm1(cells))
        return cells + self._ff_block(self.norm2(cells))


class Reference(nn.Module):
    """The published model; of its decoder only a name."""

    def __init__(self, genes: int, width: int, heads: int, depth: int, latent: int, clusters: int):
        super().__init__()
        self.embedder = nn.Module()
        self.embedder.feat_enc = nn.ParameterDict({"emb": torch.randn(genes, width)})
        self.embedder.norm0 = nn.GroupNorm(4, width)
        self.embedder.extra_linear = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Dropout(0.0), nn.GroupNorm(4, width)
        )
        self.encoder = nn.Module()
        self.encoder.layers = nn.ModuleList(Layer(width, heads) for _ in range(depth))
        self.pre_latent_norm = nn.ModuleDict({"norm": nn.LayerNorm(width)})
        inference = nn.Module()
        inference.inference_qyx = nn.ModuleList(
            [nn.ModuleDict({"logits": nn.Linear(width, clusters)})]
        )
        last = nn.ModuleDict({"mu": nn.Linear(48, latent), "var": nn.Linear(48, latent)})
        inference.inference_qzyx = nn.ModuleList([nn.Linear(width + clusters, 48), nn.ReLU(), last])
        inference.y_mu = nn.Linear(clusters, latent)
        gmvae = nn.Module()
        gmvae.inference = inference
        self.latent = nn.Module()
        self.latent.layers = nn.ModuleList([nn.Identity(), gmvae])
        self.decoder = nn.ModuleDict({"out_layer": nn.Linear(latent, 3)})

    def forward(self, counts: Tensor) -> dict[str, Tensor]:
        """Embed cells of raw counts."""
        cells = self.embedder.extra_linear(torch.log1p(counts) @ self.embedder.feat_enc["emb"])
        for layer in self.encoder.layers:
            cells = layer(cells)
        cells = self.pre_latent_norm["norm"](cells)
        inference = self.latent.layers[1].inference
        scores = inference.inference_qyx[0]["logits"](cells)
        cluster = nn.functional.one_hot(scores.argmax(1), scores.shape[1]).float()
        inner = inference.inference_qzyx[0](torch.cat([cells, cluster], 1)).relu()
        return {"cell": cells, "latent": inference.inference_qzyx[2]["mu"](inner)}
