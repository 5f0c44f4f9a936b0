"""How well guesses fit: squared error of values, or the likelihood of the counts behind them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, mse_loss

from pancyte.errors import UsageError
from pancyte.objectives.objective import Target
from pancyte.shapes import COUNT_SCALE, Tokens

GUESSED = {"mse": 1, "nb": 2, "zinb": 3}
"""How many numbers each likelihood needs for one answer."""

LOG_DISPERSION = 10.0
"""Beyond e^±10 a negative binomial hardly changes, and its gamma functions lose their digits."""


def guessed(likelihood: str) -> int:
    """Return how many numbers a guess holds.

    Raises
    ------
    UsageError
        If there is no such likelihood.
    """
    if likelihood not in GUESSED:
        raise UsageError(
            f"There is no likelihood {likelihood!r}.", fix=f"Give one of {', '.join(GUESSED)}."
        )
    return GUESSED[likelihood]


def score(likelihood: str, guess: Tensor, target: Target) -> Tensor:
    """Score guesses against the answers; the smaller the better.

    Parameters
    ----------
    likelihood
        ``"mse"``; ``"nb"``, negative binomial; ``"zinb"``, that with extra zeros.
    guess
        (questions, 1 to 3): the value; or log mean of the count at a scale of 1, log dispersion,
        and logit of an extra zero.
    target
        `values` and, for the likelihoods, `scales`, as `counts_of` takes them.

    Returns
    -------
    Mean squared error, or mean negative log-likelihood of the counts in nats. Scalar.
    """
    if likelihood == "mse":
        return mse_loss(guess.squeeze(1).float(), target["values"])
    # differences of large log-gammas lose everything in single precision
    guess = guess.to(torch.float32 if guess.device.type == "mps" else torch.float64)
    counts = counts_of(target["values"], target["scales"]).to(guess)
    parts = (guess[:, 0] - target["scales"].to(guess).log(), *guess[:, 1:].unbind(1))
    fit = negative_binomial if likelihood == "nb" else zero_inflated
    return -fit(counts, *parts).mean().float()


def negative_binomial(counts: Tensor, log_mean: Tensor, log_dispersion: Tensor) -> Tensor:
    """Log-probability of counts with variance mean + mean² / dispersion. (questions,)."""
    log_dispersion = log_dispersion.clamp(-LOG_DISPERSION, LOG_DISPERSION)
    dispersion = log_dispersion.exp()
    log_sum = torch.logaddexp(log_mean, log_dispersion)
    arrangements = (
        torch.lgamma(counts + dispersion) - torch.lgamma(dispersion) - torch.lgamma(counts + 1)
    )
    return arrangements + dispersion * (log_dispersion - log_sum) + counts * (log_mean - log_sum)


def zero_inflated(
    counts: Tensor, log_mean: Tensor, log_dispersion: Tensor, logit: Tensor
) -> Tensor:
    """Log-probability of counts that are zero beyond what `negative_binomial` says."""
    usual = logsigmoid(-logit) + negative_binomial(counts, log_mean, log_dispersion)
    return torch.where(counts == 0, torch.logaddexp(logsigmoid(logit), usual), usual)


def counts_of(values: Tensor, scales: Tensor) -> Tensor:
    """Turn values log1p(count · scale) back into whole counts. Shapes (tokens,)."""
    return (torch.expm1(values) / scales).round()


def scales_of(tokens: Tokens, needed_by: str) -> Tensor:
    """Return what each token's count was multiplied by, (tokens,).

    Raises
    ------
    UsageError
        If the tokens do not tell.
    """
    if COUNT_SCALE not in tokens.context:
        raise UsageError(
            f"{needed_by} needs raw counts, and this tokenizer's values cannot be turned back "
            "into them.",
            fix="Use the tokenizer 'continuous'.",
        )
    return tokens.context[COUNT_SCALE][tokens.cell_index]
