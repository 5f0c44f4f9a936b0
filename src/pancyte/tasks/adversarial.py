"""A model tuned until its vectors no longer tell the batch."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from pancyte.backbones.backbone import reproducible
from pancyte.models.model import device
from pancyte.objectives.adversarial import Reverse
from pancyte.tasks.baselines import batches_of
from pancyte.training.optimizer import adamw

if TYPE_CHECKING:
    from pancyte.models.model import Model
    from pancyte.shapes import Cells, Tokens

EPOCHS, CELLS = 5, 32
RATE, FASTER, DECAY = 1e-4, 3e-3, 0.01
"""The discriminator learns faster than what it judges, or batches chase each other in circles."""
HOLD = 10.0
"""Weight of the cells' arrangement beside the discriminator's loss."""


class AdversarialTuning:
    """Tune a copy of a model against a classifier of batches, holding cells of a batch in place.

    A discriminator learns to tell the batch from a cell's vector, whose gradient reaches the
    network reversed (Ganin et al. 2016, JMLR 17:59); each batch has a scale and a shift of its own
    (Chang et al. 2019, CVPR, arXiv:1906.03950). What the model knew is held: similarities among
    the cells of one batch should stay those of the frozen embedding. Transductive, without labels.

    Parameters
    ----------
    model
        It is not changed.
    epochs
        Passes over the cells.
    """

    tunes = True
    needs_model = True

    def __init__(self, model: Model, *, epochs: int = EPOCHS) -> None:
        self.model, self.epochs = model, epochs
        self.name = f"adversarial({model.name})"

    def embed(
        self, reference: Cells, *queries: Cells, batch_key: str | None, seed: int
    ) -> tuple[np.ndarray, ...]:
        """Return (cells, width) for the reference and for each query."""
        parts = (reference, *queries)
        frozen = [self.model.embed(cells) for cells in parts]
        names, codes = np.unique(batches_of(parts, batch_key), return_inverse=True)
        bounds = np.cumsum([len(cells) for cells in parts])
        inside = np.split(codes, bounds[:-1])
        tuned = _Tuned(self.model, frozen[0].shape[1], len(names), seed).to(device())
        tokens = [self.model.tokenizer(cells) for cells in parts]
        sets = [
            (part, torch.from_numpy(vectors), torch.from_numpy(batches))
            for part, vectors, batches in zip(tokens, frozen, inside, strict=True)
        ]
        optimizers = [
            adamw([tuned.network, tuned.scale, tuned.shift], rate=RATE, decay=DECAY),
            adamw([tuned.tell], rate=FASTER, decay=DECAY),
        ]
        generator = torch.Generator().manual_seed(seed)
        with reproducible(device()):
            for _ in range(self.epochs):
                for which, rows in _shuffled([len(part) for part in tokens], generator):
                    part, vectors, batches = sets[which]
                    tuned.zero_grad()
                    tuned.loss(part.select(rows), vectors[rows], batches[rows]).backward()
                    for optimizer in optimizers:
                        optimizer.step()
            return tuple(tuned.vectors(part, batch) for part, _, batch in sets)


class _Tuned(nn.Module):
    """The copy, a scale and a shift for each batch, and the discriminator."""

    def __init__(self, model: Model, width: int, batches: int, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.skip, self.pooling = model.skip, model.pooling
        self.network = copy.deepcopy(model.backbone)
        self.scale = nn.Embedding.from_pretrained(torch.ones(batches, width), freeze=False)
        self.shift = nn.Embedding.from_pretrained(torch.zeros(batches, width), freeze=False)
        self.tell = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, batches)
        )

    def forward(self, tokens: Tokens, batches: Tensor) -> Tensor:
        """Return (cells, width)."""
        here = next(self.tell.parameters()).device
        pooled = self.network.pooled(tokens.to(here), pooling=self.pooling, skip=self.skip)
        return pooled * self.scale(batches.to(here)) + self.shift(batches.to(here))

    def loss(self, tokens: Tokens, frozen: Tensor, batches: Tensor) -> Tensor:
        """How well the batch is told, reversed, and how far cells of a batch have moved apart."""
        vectors = self(tokens, batches)
        batches = batches.to(vectors.device)
        told = cross_entropy(self.tell(Reverse.apply(vectors, 1.0)), batches)
        alike = (batches[:, None] == batches[None]).float()
        before = _similarity(frozen.to(vectors.device), alike)
        moved = (_similarity(vectors, alike) - before) ** 2
        return told + HOLD * (moved * alike).sum() / alike.sum()

    @torch.no_grad()
    def vectors(self, tokens: Tokens, batches: Tensor) -> np.ndarray:
        """Embed cells by what was learned."""
        self.eval()
        few = torch.arange(len(tokens)).split(CELLS)
        found = [self(tokens.select(rows), batches[rows]).float().cpu() for rows in few]
        return torch.cat(found).numpy()


def _similarity(vectors: Tensor, alike: Tensor) -> Tensor:
    """Cosines of cells, each seen from the centre of its own batch, so that batches may move."""
    centres = alike @ vectors / alike.sum(dim=1, keepdim=True)
    unit = normalize(vectors - centres)
    return unit @ unit.T


def _shuffled(sizes: list[int], generator: torch.Generator) -> list[tuple[int, Tensor]]:
    """Deal the cells of every part into minibatches, and shuffle these."""
    dealt = [
        (part, rows)
        for part, size in enumerate(sizes)
        for rows in torch.randperm(size, generator=generator).split(CELLS)
    ]
    order = torch.randperm(len(dealt), generator=generator)
    return [dealt[at] for at in order.tolist()]
