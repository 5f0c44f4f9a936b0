"""How large a model is, and how much arithmetic its training takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pancyte.models.model import Model


def parameters(model: Model) -> dict[str, int]:
    """Count a backbone's weights, those of its embedding tables apart from the others."""
    every = sum(weight.numel() for weight in model.backbone.parameters())
    tables = len(model.tokenizer.vocabulary) * model.backbone.width
    return {"parameters": every - tables, "table_parameters": tables}


def flops_per_token(model: Model, length: float) -> float:
    """Estimate the floating-point operations of training on one token.

    Six for each weight outside the embedding tables (two forward, four backward), and
    12 · layers · width · length for the attention of a cell of `length` tokens (Kaplan et al. 2020,
    arXiv:2001.08361; Hoffmann et al. 2022, arXiv:2203.15556). Each part of a combined objective
    reads a copy of the cell. Heads are left out.
    """
    config = model.backbone.config
    attention = copies(model) * 12.0 * getattr(config, "depth", 0) * model.backbone.width * length
    return flops_per_parameter(model) * parameters(model)["parameters"] + attention


def flops_per_parameter(model: Model) -> float:
    """Operations of training on one token for each weight outside the embedding tables."""
    return 6.0 * copies(model)


def copies(model: Model) -> int:
    """How many copies of each cell the network reads in a step."""
    return len(getattr(model.objective, "parts", ())) or 1
