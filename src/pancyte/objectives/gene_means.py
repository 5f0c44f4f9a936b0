"""What is usual for a gene: its mean, its mean at a cell's depth, its spread over cells."""

from __future__ import annotations

import torch
from torch import Tensor

from pancyte.objectives.likelihood import negative_binomial

LOG_DISPERSIONS = (-4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 5.0)
"""Dispersions to choose from."""

SHRUNK_BY = 10


def mean_values(ids: Tensor, values: Tensor, features: int) -> Tensor:
    """Average each gene's answers; a gene never asked gets the average of all. (features, 1)."""
    total = torch.zeros(features).index_add_(0, ids, values)
    asked = torch.bincount(ids, minlength=features)
    return torch.where(asked > 0, total / asked.clamp(min=1), values.mean()).unsqueeze(1)


def lines(ids: Tensor, values: Tensor, depths: Tensor, features: int) -> Tensor:
    """Fit each gene's answers by a line in the logarithm of depth, by least squares.

    Slopes are shrunk towards zero by `SHRUNK_BY` pseudo-observations: most genes are asked rarely.

    Returns
    -------
    Intercept and slope, (features, 2).
    """
    depths, values = depths.double(), values.double()
    asked = _sums(ids, torch.ones_like(values), features)
    mean_x, mean_y = (_sums(ids, part, features) / asked.clamp(min=1) for part in (depths, values))
    x, y = depths - mean_x[ids], values - mean_y[ids]
    spread = _sums(ids, x * x, features) + SHRUNK_BY * depths.var(correction=0).clamp(min=1e-12)
    slope = _sums(ids, x * y, features) / spread
    intercept = torch.where(asked > 0, mean_y - slope * mean_x, values.mean())
    return torch.stack([intercept, slope], dim=1).float()


def mean_counts(
    ids: Tensor, counts: Tensor, depths: Tensor, features: int, powers: tuple[float, ...]
) -> Tensor:
    """Fit each gene's counts by a negative binomial whose mean is rate · depth ** power.

    The rate is the sum of counts over that of the powers of depth; power and dispersion are the
    likeliest of `powers` and `LOG_DISPERSIONS`. Half a count is the least that a gene is given.

    Returns
    -------
    Logarithm of the rate, logarithm of the dispersion, and power, (features, 3).
    """
    counts, depths = counts.double(), depths.double()
    tables, fits = [], []
    for power in powers:
        exposed = _sums(ids, depths**power, features)
        exposed = torch.where(exposed > 0, exposed, (depths**power).sum())
        rate = (_sums(ids, counts, features).clamp(min=0.5) / exposed).log()
        mean = rate[ids] + power * depths.log()
        for dispersion in LOG_DISPERSIONS:
            spread = torch.full_like(mean, dispersion)
            fits.append(_sums(ids, negative_binomial(counts, mean, spread), features))
            chosen = torch.tensor([dispersion, power]).expand(features, 2)
            tables.append(torch.cat([rate.float().unsqueeze(1), chosen], dim=1))
    likeliest = torch.stack(fits).argmax(dim=0)
    return torch.stack(tables)[likeliest, torch.arange(features)]


def _sums(ids: Tensor, parts: Tensor, features: int) -> Tensor:
    return torch.zeros(features, dtype=parts.dtype).index_add_(0, ids, parts)
