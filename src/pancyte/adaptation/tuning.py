"""Training a head and parts of a network on labels, stopped by donors it has not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from pancyte.backbones.backbone import reproducible
from pancyte.corpus.cells import column
from pancyte.corpus.splits import hold_out_groups, stratified_subsample
from pancyte.models.model import device
from pancyte.training.optimizer import adamw

if TYPE_CHECKING:
    from pancyte.adaptation.adapter import Adapter
    from pancyte.shapes import Cells, Tokens

HELD_OUT = 0.2


@dataclass(frozen=True)
class Tuning:
    """How to train.

    Attributes
    ----------
    rate
        Learning rate.
    epochs
        At most so many passes over the cells.
    patience
        Stop after so many passes without a better held-out loss.
    cells_per_minibatch
        Cells in a step.
    decay
        Weight decay of matrices.
    seed
        Seed of the order of cells, of the held-out donors and of new weights.
    """

    rate: float = 1e-3
    epochs: int = 10
    patience: int = 2
    cells_per_minibatch: int = 32
    decay: float = 0.01
    seed: int = 0


def held_out_cells(
    cells: Cells, labels: np.ndarray, donor_key: str | None, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Choose whom to learn from and whom to stop by: a fifth of the donors, or of the cells.

    Cells of a type that would then have no cell to learn from are learned from.
    """
    if donor_key is not None:
        learned, held = hold_out_groups(column(cells, donor_key), HELD_OUT, seed=seed)
    else:
        held = stratified_subsample(labels, HELD_OUT, seed=seed)
        learned = np.setdiff1d(np.arange(len(labels)), held)
    held = held[np.isin(labels[held], labels[learned])]
    return np.setdiff1d(np.arange(len(labels)), held), held


def tune(
    adapter: Adapter,
    tokens: Tokens,
    codes: Tensor,
    parts: tuple[np.ndarray, np.ndarray],
    how: Tuning,
) -> tuple[list[float], int]:
    """Train what the adapter has opened, and put back the epoch best on the held-out cells.

    Parameters
    ----------
    adapter
        Its head and network are changed.
    tokens, codes
        All cells, and the column of each one's label.
    parts
        Rows to learn from and rows to stop by.
    how
        Rate, epochs and so on.

    Returns
    -------
    history, best
        Held-out log loss before training and after each epoch, and the epoch that was kept.
    """
    place = device()
    adapter.network.to(place)
    adapter.head.to(place)
    trained = adapter.trained()
    optimizer = adamw([nn.ParameterList(trained.values())], rate=how.rate, decay=how.decay)
    learned, held = (torch.from_numpy(rows) for rows in parts)
    generator = torch.Generator().manual_seed(how.seed)
    with reproducible(place):
        history, best, kept = [_loss(adapter, tokens, codes, held)], 0, _copies(trained)
        for epoch in range(1, how.epochs + 1):
            adapter.network.train()
            order = learned[torch.randperm(len(learned), generator=generator)]
            for rows in order.split(how.cells_per_minibatch):
                optimizer.zero_grad()
                _mean_loss(adapter, tokens, codes, rows).backward()
                optimizer.step()
            history.append(_loss(adapter, tokens, codes, held))
            if history[-1] < history[best]:
                best, kept = epoch, _copies(trained)
            if epoch - best >= how.patience:
                break
    with torch.no_grad():
        for name, value in trained.items():
            value.copy_(kept[name])
    adapter.network.eval()
    return history, best


def _copies(trained: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in trained.items()}


def _mean_loss(adapter: Adapter, tokens: Tokens, codes: Tensor, rows: Tensor) -> Tensor:
    place = next(adapter.head.parameters()).device
    hidden = adapter.network(tokens.select(rows).to(place), skip=adapter.model.skip)
    vectors = hidden.cls if adapter.model.pooling == "cls" else hidden.mean()
    return nn.functional.cross_entropy(adapter.head(vectors), codes[rows].to(place))


@torch.no_grad()
def _loss(adapter: Adapter, tokens: Tokens, codes: Tensor, held: Tensor) -> float:
    adapter.network.eval()
    parts = held.split(256)
    losses = [float(_mean_loss(adapter, tokens, codes, rows)) * len(rows) for rows in parts]
    return sum(losses) / len(held)
