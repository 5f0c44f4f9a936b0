"""The original transformer layer, normalised after each sum: that of BERT and of scGPT."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from pancyte.backbones.attention import Padding
from pancyte.errors import UsageError

ACTIVATIONS = {"relu": nn.functional.relu, "gelu": nn.functional.gelu}
Activation = Literal["relu", "gelu"]


def check_shape(name: str, depth: int, width: int, heads: int) -> None:
    """Refuse sizes that fit no transformer."""
    if depth < 1 or heads < 1 or width % heads:
        raise UsageError(
            f"A {name} of depth {depth}, width {width} and {heads} heads cannot be built.",
            fix="Depth must be at least 1 and width a multiple of heads.",
        )


class PostNormLayer(nn.Module):
    """Attention, then a feed-forward part, each added to its input and normalised.

    Vaswani et al., NeurIPS 2017. Queries, keys and values are one projection, stacked in this
    order.

    Parameters
    ----------
    width, heads, inner
        Length of the vectors, attention heads, width of the feed-forward part.
    activation
        ``"relu"`` or ``"gelu"`` (exact).
    eps
        What the norms add to the variance.
    dropout
        Share set to zero in training: of attention weights, inside the feed-forward part if
        `inner_dropout`, and of both updates.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        inner: int,
        *,
        activation: Activation = "relu",
        eps: float = 1e-5,
        dropout: float = 0.0,
        inner_dropout: bool = False,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.activation = ACTIVATIONS[activation]
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm_attention = nn.LayerNorm(width, eps=eps)
        self.expand = nn.Linear(width, inner)
        self.contract = nn.Linear(inner, width)
        self.norm_forward = nn.LayerNorm(width, eps=eps)
        self.dropout = nn.Dropout(dropout)
        self.inner_dropout = nn.Dropout(dropout if inner_dropout else 0.0)

    def forward(
        self, rows: Float[Tensor, "rows width"], padding: Padding
    ) -> Float[Tensor, "rows width"]:
        """Update the rows of each cell."""
        query, key, value = padding.spread(self.qkv(rows), 3 * self.heads).chunk(3, dim=1)
        share = self.dropout.p if self.training else 0.0
        mixed = scaled_dot_product_attention(
            query, key, value, attn_mask=padding.mask, dropout_p=share
        )
        rows = self.norm_attention(rows + self.dropout(self.out(padding.gather(mixed))))
        inner = self.inner_dropout(self.activation(self.expand(rows)))
        return self.norm_forward(rows + self.dropout(self.contract(inner)))


@torch.no_grad()
def draw(module: nn.Module, seed: int, *, std: float = 0.02) -> None:
    """Draw all weights anew as BERT does: normal with this deviation, norms 1 and 0, biases 0."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        owner = module.get_submodule(name.rpartition(".")[0])
        if isinstance(owner, nn.LayerNorm):
            parameter.fill_(1.0 if name.endswith("weight") else 0.0)
        elif name.endswith("bias"):
            parameter.zero_()
        else:
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)
