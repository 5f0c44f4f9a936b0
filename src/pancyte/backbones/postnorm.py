"""The original transformer layer, normalised after each sum: that of BERT and of scGPT."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

from pancyte.backbones.frame import Frame
from pancyte.errors import UsageError

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": nn.functional.relu,
    "gelu": nn.functional.gelu,
}
Activation = Literal["relu", "gelu"]


def fill_sizes(config: Any, *, layer: int, head: int, inner: int) -> None:
    """Set sizes of a frozen configuration that were left at 0.

    Parameters
    ----------
    config
        With `depth`, `width`, `heads` and `inner`.
    layer, head, inner
        Width for each layer, width of a head, and the feed-forward part's width in widths.
    """
    object.__setattr__(config, "width", config.width or layer * config.depth)
    object.__setattr__(config, "heads", config.heads or max(1, config.width // head))
    object.__setattr__(config, "inner", config.inner or inner * config.width)


def check_no_context(name: str, context: dict[str, int]) -> None:
    """Refuse per-cell columns that a network has no place for."""
    if context:
        raise UsageError(
            f"{name} reads no context, but was given {sorted(context)}.",
            fix="Leave context out, or use the backbone transformer.",
        )


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
        self, rows: Float[Tensor, "rows width"], frame: Frame
    ) -> Float[Tensor, "rows width"]:
        """Update the rows of each cell."""
        share = self.dropout.p if self.training else 0.0
        return self._updated(rows, mix(self.qkv(rows), frame, heads=self.heads, dropout=share))

    def asked(
        self,
        asking: Float[Tensor, "asking width"],
        lengths: list[int],
        rows: Float[Tensor, "rows width"],
        frame: Frame,
    ) -> Float[Tensor, "asking width"]:
        """Update rows that see all rows of their cell but are seen by none.

        Parameters
        ----------
        asking
            These rows, each cell's behind those of the cell before.
        lengths
            How many each cell has.
        rows, frame
            The rows that are seen.
        """
        width = rows.shape[1]
        query = linear(asking, self.qkv.weight[:width], self.qkv.bias[:width])
        seen = linear(rows, self.qkv.weight[width:], self.qkv.bias[width:])
        parts = seen.view(len(rows), 2, self.heads, -1).permute(1, 2, 0, 3)
        cells = zip(
            query.view(len(asking), self.heads, -1).transpose(0, 1).split(lengths, dim=1),
            parts.split(frame.lengths, dim=2),
            strict=True,
        )
        mixed = [
            scaled_dot_product_attention(one[None], key[None], value[None])[0]
            if key.shape[1]
            else torch.zeros_like(one)
            for one, (key, value) in cells
        ]
        return self._updated(asking, torch.cat(mixed, dim=1).transpose(0, 1).flatten(1))

    def _updated(self, rows: Tensor, mixed: Tensor) -> Tensor:
        rows = self.norm_attention(rows + self.dropout(self.out(mixed)))
        inner = self.inner_dropout(self.activation(self.expand(rows)))
        return self.norm_forward(rows + self.dropout(self.contract(inner)))


def mix(
    qkv: Float[Tensor, "rows three_widths"], frame: Frame, *, heads: int, dropout: float
) -> Float[Tensor, "rows width"]:
    """Let the rows of each cell attend to one another.

    On a CPU cell by cell, which needs neither padding nor masks; elsewhere all cells at once.
    """
    if qkv.device.type != "cpu" or frame.visible is not None:
        padding = frame.padding
        query, key, value = padding.spread(qkv, 3 * heads).chunk(3, dim=1)
        mixed = scaled_dot_product_attention(
            query, key, value, attn_mask=padding.mask, dropout_p=dropout
        )
        return padding.gather(mixed)
    if not len(qkv):
        return qkv.new_zeros(0, qkv.shape[1] // 3)
    cells = qkv.view(len(qkv), 3, heads, -1).permute(1, 2, 0, 3).split(frame.lengths, dim=2)
    # with a leading axis of one, as PyTorch's fast kernel takes four axes only
    parts = [
        scaled_dot_product_attention(query[None], key[None], value[None], dropout_p=dropout)[0]
        for query, key, value in cells
        if query.shape[1]
    ]
    return torch.cat(parts, dim=1).transpose(0, 1).reshape(len(qkv), -1)


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
