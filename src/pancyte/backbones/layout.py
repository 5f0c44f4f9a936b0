"""Which attention kernel serves which rows on which device."""

from __future__ import annotations

import importlib.util

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pancyte.backbones.attention import Apart, Layout, Padding
from pancyte.backbones.flexible import Flexible
from pancyte.backbones.packed import Packed

HALF = (torch.bfloat16, torch.float16)
AMPERE = (8, 0)
"""Compute capability from which the fused kernels run."""


def lay_out(
    offsets: Int[Tensor, " bounds"],
    visible: Int[Tensor, " rows"] | None,
    rows: Float[Tensor, "rows width"],
    *,
    heads: int,
    dropout: bool = False,
) -> Layout:
    """Lay out packed rows for attention in the way that suits the device.

    Parameters
    ----------
    offsets
        Cell ``i`` owns rows ``offsets[i]:offsets[i + 1]``.
    visible
        How many of its cell's first rows each row sees, besides itself; None if all.
    rows
        What is to be mixed; its device counts, and its precision or that of autocast.
    heads
        Attention heads.
    dropout
        Whether attention weights are dropped.
    """
    if rows.device.type == "cpu":
        return Apart.of(offsets, visible)
    capability = torch.cuda.get_device_capability(rows.device) if rows.is_cuda else (0, 0)
    precision = torch.float32 if dropout else _precision(rows)
    kind = choose(precision, rows.shape[1] // heads, visible is not None, capability)
    return kind.of(offsets, visible)


def choose(
    precision: torch.dtype, head_width: int, masked: bool, capability: tuple[int, int]
) -> type[Padding] | type[Packed] | type[Flexible]:
    """Decide for a GPU: packed rows where one of these capabilities takes them, else padded ones.

    Parameters
    ----------
    precision
        In which attention is computed; only 16 bits go unpadded.
    head_width
        Width of a head; the kernels want a multiple of 8 up to 256.
    masked
        Whether some rows see a part of their cell only.
    capability
        The GPU's compute capability.
    """
    fits = precision in HALF and head_width % 8 == 0 and head_width <= 256
    if not fits or capability < AMPERE:
        return Padding
    if masked:
        # flex attention wants a power of two
        return Flexible if head_width & (head_width - 1) == 0 else Padding
    return Packed if importlib.util.find_spec("torch.nn.attention.varlen") else Padding


def _precision(rows: Tensor) -> torch.dtype:
    kind = rows.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else rows.dtype
