"""scGPT's forward pass, written from its published description on PyTorch's own encoder, padded."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Reference(nn.Module):
    """Names of parts are those of the published checkpoints."""

    def __init__(self, tokens, width, heads, inner, depth, *, style, bins=0, zero=True, classes=5):
        super().__init__()
        self.style = style
        self.encoder = named(embedding=nn.Embedding(tokens, width), enc_norm=nn.LayerNorm(width))
        if style == "continuous":
            self.value_encoder = named(
                linear1=nn.Linear(1, width),
                linear2=nn.Linear(width, width),
                norm=nn.LayerNorm(width),
            )
        elif style == "category":
            self.value_encoder = named(
                embedding=nn.Embedding(bins, width), enc_norm=nn.LayerNorm(width)
            )
        layer = nn.TransformerEncoderLayer(width, heads, inner, 0.2, batch_first=True)
        self.transformer_encoder = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.decoder = named(fc=three(width), **({"zero_logit": three(width)} if zero else {}))
        self.mvc_decoder = named(
            gene2query=nn.Linear(width, width),
            W=nn.Linear(width, width, bias=False),
            **({"W_zero_logit": nn.Linear(width, width)} if zero else {}),
        )
        blocks = [
            part
            for _ in range(2)
            for part in (nn.Linear(width, width), nn.ReLU(), nn.LayerNorm(width))
        ]
        self.cls_decoder = named(
            _decoder=nn.ModuleList(blocks), out_layer=nn.Linear(width, classes)
        )
        self.flag_encoder = nn.Embedding(2, width)

    def genes(self, ids: Tensor) -> Tensor:
        return self.encoder["enc_norm"](self.encoder["embedding"](ids))

    def forward(self, ids: Tensor, values: Tensor, padded: Tensor) -> dict[str, Tensor]:
        genes = self.genes(ids)
        if self.style == "scaling":
            rows = genes * values[..., None]
        elif self.style == "category":
            part = self.value_encoder
            rows = genes + part["enc_norm"](part["embedding"](values.long()))
        else:
            part = self.value_encoder
            wide = torch.relu(part["linear1"](values[..., None].clamp(max=512)))
            rows = genes + part["norm"](part["linear2"](wide))
        rows = self.transformer_encoder(rows, src_key_padding_mask=padded)
        cell = rows[:, 0]
        query = torch.sigmoid(self.mvc_decoder["gene2query"](genes))
        found = {
            "cell": cell,
            "expression": self.decoder["fc"](rows)[..., 0],
            "from_cell": torch.einsum("ctw,cw->ct", self.mvc_decoder["W"](query), cell),
            "classes": self.classes(cell),
        }
        if "zero_logit" in self.decoder:
            found["expressed"] = self.decoder["zero_logit"](rows)[..., 0].sigmoid()
            answer = self.mvc_decoder["W_zero_logit"](query)
            found["expressed_from_cell"] = torch.einsum("ctw,cw->ct", answer, cell).sigmoid()
        return found

    def classes(self, cell: Tensor) -> Tensor:
        for part in self.cls_decoder["_decoder"]:
            cell = part(cell)
        return self.cls_decoder["out_layer"](cell)


def named(**parts: nn.Module) -> nn.ModuleDict:
    return nn.ModuleDict(parts)


def three(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width, width),
        nn.LeakyReLU(),
        nn.Linear(width, width),
        nn.LeakyReLU(),
        nn.Linear(width, 1),
    )
