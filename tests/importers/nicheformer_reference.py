"""Nicheformer's forward pass on PyTorch's own encoder, padded, under the published keys."""

from __future__ import annotations

from torch import Tensor, nn


class Reference(nn.Module):
    """Special tokens are numbers below 30; 1 fills short cells up."""

    def __init__(self, tokens: int, places: int, width: int, heads: int, inner: int, depth: int):
        super().__init__()
        self.encoder_layer = nn.TransformerEncoderLayer(
            width, heads, inner, 0.0, batch_first=True, layer_norm_eps=1e-12
        )
        self.encoder = nn.TransformerEncoder(self.encoder_layer, depth, enable_nested_tensor=False)
        self.embeddings = nn.Embedding(tokens + 5, width, padding_idx=1)
        self.positional_embedding = nn.Embedding(places, width)
        self.classifier_head = nn.Linear(width, tokens)
        self.pooler_head = nn.Linear(width, width)
        self.cls_head = nn.Linear(width, 164)

    def forward(self, numbers: Tensor) -> dict[str, Tensor]:
        rows = self.embeddings(numbers) + self.positional_embedding.weight[None]
        rows = self.encoder(rows, src_key_padding_mask=numbers == 1)
        return {
            "rows": rows,
            "logits": self.classifier_head(rows),
            # the published embedding leaves out three properties, and no padding
            "cell": rows[:, 3:].mean(1),
        }
