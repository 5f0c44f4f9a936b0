"""Binomial thinning: the same cell as if it had been sequenced less deeply."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from pancyte.objectives.likelihood import counts_of, scales_of
from pancyte.shapes import COUNT_SCALE, Tokens


def thin(tokens: Tokens, rates: Tensor, generator: torch.Generator, *, needed_by: str) -> Tokens:
    """Keep each read of a cell with its probability, and normalise to what depth is left.

    Parameters
    ----------
    tokens
        Cells whose values are log1p(count · scale).
    rates
        Share of the reads to keep in each cell, (cells,).
    generator
        Source of chance.
    needed_by
        Who asks, for the message.

    Returns
    -------
    The same tokens with new values, 0 where no read is left. The new depth is taken to be its
    expectation, since the reads of genes without a token are not known.

    Raises
    ------
    UsageError
        If the tokens do not tell their counts.
    """
    scales = scales_of(tokens, needed_by)
    counts = counts_of(tokens.values, scales)
    each = rates[tokens.cell_index]
    kept = torch.binomial(counts, each, generator=generator)
    context = {**tokens.context, COUNT_SCALE: tokens.context[COUNT_SCALE] / rates}
    return replace(tokens, values=torch.log1p(kept * scales / each), context=context)
