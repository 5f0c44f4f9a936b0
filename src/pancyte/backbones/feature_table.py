"""A vector for each feature, from what is known of it beforehand and what is learned."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pancyte.errors import UsageError


class FeatureTable(nn.Module):
    """Prior vectors, projected, plus each feature's own learned part.

    The own part begins at zero where there is a prior, so that the network starts from the prior,
    and unit normal where there is none: all vectors have about the same length, as the rest of the
    network expects. A feature without an own part, because it was never seen in training, still has
    its projected prior. To make the network used to such features, `cold` leaves out the own part
    of some at each training step (after DropoutNet, Volkovs et al., NeurIPS 2017). With all of them
    cold there are no own parts: the table is its prior, and a feature without one is zero.

    Parameters
    ----------
    features
        Size of the vocabulary.
    width
        Length of the vectors.
    prior
        Length of the prior vectors.
    cold
        Share of the features with a prior whose own part is left out, drawn anew at each step.
    """

    def __init__(self, features: int, width: int, *, prior: int, cold: float) -> None:
        super().__init__()
        if not 0 <= cold <= 1:
            raise UsageError(
                f"cold is {cold:g}, and a share of the features is between 0 and 1.",
                fix="Set cold to 0 to learn all features, to 1 to learn none.",
            )
        self.own = nn.Embedding(features, width) if cold < 1 else None
        # an embedding of each of the prior's dimensions; as a table it does not decay
        self.basis = nn.Embedding(prior, width)
        self.cold = cold
        self.prior: Tensor
        self.register_buffer("prior", torch.zeros(features, prior, dtype=torch.float16))

    @property
    def known(self) -> Float[Tensor, "features 1"]:
        """1 for features that have a prior, else 0."""
        return self.prior.any(dim=1, keepdim=True).to(self.basis.weight.dtype)

    @property
    def weight(self) -> Float[Tensor, "features width"]:
        """The vectors of all features; ask once for each forward pass."""
        projected = self.prior.to(self.basis.weight.dtype) @ self.basis.weight
        if self.own is None:
            return projected
        own = self.own.weight
        if self.training and self.cold:
            drawn = torch.rand(len(own), 1, device=own.device) < self.cold
            own = own * (1 - drawn * self.known)
        return projected + own

    def forward(self, ids: Int[Tensor, " tokens"]) -> Float[Tensor, "tokens width"]:
        """Look features up."""
        return nn.functional.embedding(ids, self.weight)

    @torch.no_grad()
    def start_from_prior(self) -> None:
        """Forget the own part of every feature that has a prior."""
        if self.own is not None:
            self.own.weight.mul_(1 - self.known)
