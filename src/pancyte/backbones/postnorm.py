"""The original transformer layer, normalised after each sum: that of BERT and of scGPT."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import linear

from pancyte.backbones.attention import Asking, Layout
from pancyte.backbones.backbone import Backbone
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
        self,
        rows: Float[Tensor, "rows width"],
        layout: Layout,
        asking: Asking | None = None,
    ) -> Float[Tensor, "asked width"]:
        """Update the rows of each cell, or only those `asking`."""
        if asking is None:
            query, key, value = self.qkv(rows).chunk(3, dim=1)
            mixed = layout.mix(query, key, value, self.heads, dropout=self._share)
            return self._updated(rows, mixed)
        chosen = rows.index_select(0, asking.rows)
        query, key, value = self._apart(chosen, rows)
        mixed = asking.mix(query, key, value, layout, self.heads, dropout=self._share)
        return self._updated(chosen, mixed)

    def beside(
        self,
        others: Float[Tensor, "others width"],
        bounds: Int[Tensor, " bounds"],
        rows: Float[Tensor, "rows width"],
        layout: Layout,
    ) -> Float[Tensor, "others width"]:
        """Update rows that see all rows of their cell but are seen by none.

        Parameters
        ----------
        others, bounds
            These rows, and the bounds of each cell's.
        rows, layout
            The rows that are seen.
        """
        query, key, value = self._apart(others, rows)
        mixed = layout.mix(query, key, value, self.heads, bounds=bounds, dropout=self._share)
        return self._updated(others, mixed)

    @property
    def _share(self) -> float:
        return self.dropout.p if self.training else 0.0

    def _apart(self, asking: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        width = rows.shape[1]
        query = linear(asking, self.qkv.weight[:width], self.qkv.bias[:width])
        key, value = linear(rows, self.qkv.weight[width:], self.qkv.bias[width:]).chunk(2, dim=1)
        return query, key, value

    def _updated(self, rows: Tensor, mixed: Tensor) -> Tensor:
        rows = self.norm_attention(rows + self.dropout(self.out(mixed)))
        inner = self.inner_dropout(self.activation(self.expand(rows)))
        return self.norm_forward(rows + self.dropout(self.contract(inner)))


class PostNormBackbone(Backbone):
    """What the published networks of such layers share.

    Subclasses set `layers` by `stack`; their configuration has `depth`, `width`, `heads`, `inner`
    and `dropout`.
    """

    layers: nn.ModuleList

    @property
    def width(self) -> int:
        """Length of the vectors it returns."""
        return self.config.width

    def stack(self, **settings: Any) -> nn.ModuleList:
        """Make the layers; `settings` are those of `PostNormLayer` beyond the configuration's."""
        sizes = (self.config.width, self.config.heads, self.config.inner)
        told = {"dropout": self.config.dropout, "inner_dropout": True, **settings}
        return nn.ModuleList(PostNormLayer(*sizes, **told) for _ in range(self.config.depth))

    def mixed(
        self,
        frame: Frame,
        rows: Float[Tensor, "rows width"],
        *,
        skip: int,
        only: Int[Tensor, " some"] | None = None,
        then: nn.Module | None = None,
    ) -> Float[Tensor, "rows width"]:
        """Run rows through all layers but the last `skip`; see `Frame.through`."""
        self.check_skip(skip)
        layers = self.layers[: self.config.depth - skip]
        return frame.through(
            rows, layers, heads=self.config.heads, dropout=self.drops, only=only, then=then
        )

    @property
    def drops(self) -> bool:
        """Whether attention weights are dropped now."""
        return self.training and self.config.dropout > 0


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
