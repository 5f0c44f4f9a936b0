"""The networks that pancyte's is compared with, fed as their authors feed them: padded."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from pancyte.backbones.frame import Frame
from pancyte.backbones.scgpt import ScGPT, ScGPTEmbedding
from pancyte.backbones.transformer import Transformer
from pancyte.shapes import HIDDEN_ID, Hidden, Tokens

MASK, GENES_FROM = 1, 2


class PaddedEncoder(nn.Module):
    """`torch.nn.TransformerEncoder` with the weights of one of pancyte's networks, which it equals.

    Cells are padded to the longest of the minibatch, as scGPT's collator does; weights are copied.
    """

    partial = False

    def __init__(self, source: Transformer | ScGPT) -> None:
        super().__init__()
        config, after = source.config, isinstance(source, ScGPT)
        self.embedding = copy.deepcopy(source.embedding)
        layer = nn.TransformerEncoderLayer(
            config.width,
            config.heads,
            config.inner if after else config.width * config.expansion,
            dropout=0.0,
            activation="relu" if after else "gelu",
            batch_first=True,
            norm_first=not after,
        )
        self.encoder = nn.TransformerEncoder(layer, config.depth, enable_nested_tensor=False)
        for ours, theirs in zip(source.layers, self.encoder.layers, strict=True):
            theirs.load_state_dict(_renamed(ours.state_dict(), after))

    def forward(self, tokens: Tokens) -> Hidden:
        """Pad, mix, and take the padding off again."""
        lengths = tokens.lengths
        cells, longest = len(lengths), int(lengths.max())
        real = torch.arange(longest, device=lengths.device) < lengths.unsqueeze(1)
        ids = tokens.ids.new_zeros(cells, longest)
        values = tokens.values.new_zeros(cells, longest)
        ids[real], values[real] = tokens.ids, tokens.values
        offsets = torch.arange(cells + 1, device=lengths.device) * longest
        whole = Tokens(ids.view(-1), values.view(-1), offsets, {})
        frame = Frame.around(whole, before=True, after=False)
        if isinstance(self.embedding, ScGPTEmbedding):
            table = self.embedding.table()
            rows = self.embedding(whole, frame)
        else:
            table = self.embedding.feature.weight
            embedded, cls = self.embedding(whole, table)
            rows = frame.fill(embedded, cls, None)
        rows = rows.view(cells, longest + 1, -1)
        padding = torch.cat([real.new_zeros(cells, 1), ~real], dim=1)
        mixed = self.encoder(rows, src_key_padding_mask=padding)
        found, whole = mixed[:, 1:][real], mixed[:, 0]
        return Hidden(found, whole, tokens.offsets, table)


def _renamed(layer: dict[str, Tensor], stacked: bool) -> dict[str, Tensor]:
    names = {
        "out" if stacked else "attention.out": "self_attn.out_proj",
        "norm_attention": "norm1",
        "norm_forward": "norm2",
        "expand": "linear1",
        "contract": "linear2",
    }
    found = {
        f"{theirs}.{kind}": layer[f"{ours}.{kind}"]
        for ours, theirs in names.items()
        for kind in ("weight", "bias")
    }
    if stacked:
        kinds = ("weight", "bias")
        return found | {f"self_attn.in_proj_{kind}": layer[f"qkv.{kind}"] for kind in kinds}
    weights = [layer[f"attention.{part}.weight"] for part in ("query", "key", "value")]
    query, value = layer["attention.query.bias"], layer["attention.value.bias"]
    # softmax ignores a bias of the keys, which pancyte leaves out
    found["self_attn.in_proj_weight"] = torch.cat(weights)
    found["self_attn.in_proj_bias"] = torch.cat([query, torch.zeros_like(query), value])
    return found


def bert(features: int, *, depth: int, width: int, length: int, attention: str) -> Any:
    """`transformers.BertForMaskedLM` shaped as Geneformer's, without dropout."""
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig(
        vocab_size=features + GENES_FROM,
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=max(1, width // 64),
        intermediate_size=2 * width,
        hidden_act="relu",
        max_position_embeddings=length,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        layer_norm_eps=1e-12,
        pad_token_id=0,
        attn_implementation=attention,
    )
    return BertForMaskedLM(config)


def bert_loss(network: Any, seen: Tokens, target: dict[str, Tensor], length: int | None) -> Tensor:
    """Cross-entropy as BERT computes it, of cells padded to `length` or to the longest."""
    lengths = seen.lengths
    longest = length or int(lengths.max())
    real = torch.arange(longest, device=lengths.device) < lengths.unsqueeze(1)
    shape = (len(lengths), longest)
    ids = torch.zeros(shape, dtype=torch.int64, device=lengths.device)
    ids[real] = torch.where(seen.ids == HIDDEN_ID, MASK, seen.ids.long() + GENES_FROM)
    asked = torch.full((len(seen.ids),), -100, device=lengths.device)
    asked[target["positions"]] = target["ids"].long() + GENES_FROM
    labels = torch.full(shape, -100, device=lengths.device)
    labels[real] = asked
    return network(input_ids=ids, attention_mask=real.long(), labels=labels).loss
