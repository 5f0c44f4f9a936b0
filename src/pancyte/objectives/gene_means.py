"""What is usual for a gene: its mean, its mean at a cell's depth, its spread over cells."""

from __future__ import annotations

import torch
from torch import Tensor

from pancyte.objectives.likelihood import LOG_DISPERSION


def mean_values(ids: Tensor, values: Tensor, features: int) -> Tensor:
    """Average each gene's answers; a gene never asked gets the average of all. (features, 1)."""
    total = torch.zeros(features).index_add_(0, ids, values)
    asked = torch.bincount(ids, minlength=features)
    return torch.where(asked > 0, total / asked.clamp(min=1), values.mean()).unsqueeze(1)


def lines(ids: Tensor, values: Tensor, depths: Tensor, features: int) -> Tensor:
    """Fit each gene's answers by a line in the logarithm of depth, by least squares.

    Slopes are shrunk towards zero by one pseudo-observation, and zero where a gene was not asked.

    Returns
    -------
    Intercept and slope, (features, 2).
    """
    depths, values = depths.double(), values.double()
    asked = _sums(ids, torch.ones_like(values), features)
    mean_x, mean_y = (_sums(ids, part, features) / asked.clamp(min=1) for part in (depths, values))
    x, y = depths - mean_x[ids], values - mean_y[ids]
    spread = _sums(ids, x * x, features) + depths.var(correction=0).clamp(min=1e-12)
    slope = _sums(ids, x * y, features) / spread
    intercept = torch.where(asked > 0, mean_y - slope * mean_x, values.mean())
    return torch.stack([intercept, slope], dim=1).float()


def mean_counts(ids: Tensor, counts: Tensor, exposure: Tensor, features: int) -> Tensor:
    """Fit each gene's counts by a negative binomial whose mean is rate · exposure.

    The rate is the maximum-likelihood one of a Poisson law, and the dispersion that of moments. A
    gene that was not asked, or never seen, gets the rate of half a count in all its questions.

    Returns
    -------
    Logarithms of rate and dispersion, (features, 2).
    """
    counts, exposure = counts.double(), exposure.double()
    exposed = _sums(ids, exposure, features)
    exposed = torch.where(exposed > 0, exposed, exposure.sum())
    rate = _sums(ids, counts, features).clamp(min=0.5) / exposed
    mean = rate[ids] * exposure
    excess = _sums(ids, (counts - mean) ** 2 - mean, features).clamp(min=1e-12)
    dispersion = _sums(ids, mean**2, features).clamp(min=1e-12) / excess
    bounded = dispersion.log().clamp(-LOG_DISPERSION, LOG_DISPERSION)
    return torch.stack([rate.log(), bounded], dim=1).float()


def _sums(ids: Tensor, parts: Tensor, features: int) -> Tensor:
    return torch.zeros(features, dtype=parts.dtype).index_add_(0, ids, parts)
