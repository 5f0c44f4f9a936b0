"""Muon for the matrices inside a network, AdamW for all else, as one optimizer."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from pancyte.errors import MissingError


class MuonAdamW:
    """Two optimizers that step together and look like one.

    Muon orthogonalises the momentum of a matrix before it takes the step. Its steps are scaled to
    be as long as AdamW's, so that one learning rate and one weight decay serve both.

    Parameters
    ----------
    matrices
        What Muon trains: two-dimensional weights inside the network.
    rest
        AdamW's parameter groups: vectors and embedding tables.
    rate, decay
        Learning rate, and weight decay of the matrices.

    Notes
    -----
    Jordan et al., Muon: An optimizer for hidden layers in neural networks, 2024; the scaling is
    that of Liu et al., Muon is scalable for LLM training, arXiv 2502.16982. PyTorch computes the
    orthogonalisation in bf16, which is slow on most CPUs.
    """

    def __init__(
        self,
        matrices: list[nn.Parameter],
        rest: list[dict[str, Any]],
        *,
        rate: float,
        decay: float,
        adamw: Any,
    ) -> None:
        if not hasattr(torch.optim, "Muon"):
            raise MissingError(
                f"PyTorch {torch.__version__} has no Muon.",
                fix="Install PyTorch 2.9 or later, or set loop.optimizer to adamw.",
            )
        self.parts = (
            torch.optim.Muon(matrices, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw"),
            adamw(rest),
        )

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of both, to set the learning rate of."""
        return [group for part in self.parts for group in part.param_groups]

    def step(self) -> None:
        """Take a step."""
        for part in self.parts:
            part.step()

    def zero_grad(self, *, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        for part in self.parts:
            part.zero_grad(set_to_none=set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of both, numbered as the parameters are in `param_groups`."""
        state: dict[int, Any] = {}
        groups: list[Any] = []
        for start, part in zip(self._starts(), self.parts, strict=True):
            own = part.state_dict()
            state |= {start + index: entry for index, entry in own["state"].items()}
            groups += own["param_groups"]
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, given: dict[str, Any]) -> None:
        """Take back what `state_dict` returned."""
        groups = list(given["param_groups"])
        for start, part in zip(self._starts(), self.parts, strict=True):
            own, groups = groups[: len(part.param_groups)], groups[len(part.param_groups) :]
            many = _size(part)
            state = {
                index - start: entry
                for index, entry in given["state"].items()
                if start <= index < start + many
            }
            part.load_state_dict({"state": state, "param_groups": own})

    def _starts(self) -> tuple[int, int]:
        return 0, _size(self.parts[0])


def _size(optimizer: torch.optim.Optimizer) -> int:
    return sum(len(group["params"]) for group in optimizer.param_groups)
