"""Denoising by the head of a pancyte model: what its cell's vector says of every gene."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pancyte.corpus.genes import match
from pancyte.denoising.shares import floored, observed, shares_of
from pancyte.errors import UsageError

if TYPE_CHECKING:
    from pancyte.models.model import Model
    from pancyte.shapes import Cells

CELLS = 256


class ModelHead:
    """A model's own expectation of every gene that it knows, from its vector of the cell.

    It needs a pre-training head that predicts values from the cell's vector: `masked_value`,
    `denoise` or `cell_value`. Genes that it does not know keep the share that was read, and those
    it knows share out the rest.

    Parameters
    ----------
    model
        A pancyte model.

    Raises
    ------
    UsageError
        If its head predicts no values.
    """

    needs_model = True

    def __init__(self, model: Model) -> None:
        from pancyte.objectives.value import ValueObjective

        head = model.objective
        if not isinstance(head, ValueObjective) or not head.from_cell:
            raise UsageError(
                f"{model.name} was trained with the objective {head.name!r}, whose head does not "
                "predict how much there is of a gene.",
                fix="Use a model trained with masked_value, denoise or cell_value; or method='pca-"
                "denoise', which needs no model.",
            )
        self.model = model
        self.name = f"head({model.name})"

    def denoise(self, cells: Cells, *, seed: int) -> np.ndarray:
        """Return the head's shares, (cells, genes)."""
        found = match(cells.features, self.model.tokenizer.vocabulary.table)
        levels = shares_of(self._levels(cells))
        shares = observed(cells.counts)
        known = np.flatnonzero(found.columns >= 0)
        whole = shares[:, known].sum(axis=1, keepdims=True)
        shares[:, known] = whole * shares_of(levels[:, found.columns[known]])
        return floored(shares, cells.counts)

    def _levels(self, cells: Cells) -> np.ndarray:
        """What the head says of every gene of the vocabulary, on the scale of counts."""
        import torch

        from pancyte.backbones.backbone import reproducible
        from pancyte.models.model import device

        network = self.model.backbone.to(device()).eval()
        head: Any = self.model.objective.to(network.device).eval()
        tokens = self.model.tokenizer(cells)
        parts = []
        with torch.inference_mode(), reproducible(network.device):
            for rows in torch.arange(len(tokens)).split(CELLS):
                hidden = network(tokens.select(rows).to(network.device))
                answers = (
                    head.usual(hidden.table)[:, 0] + hidden.mean() @ head.question(hidden.table).T
                )
                parts.append(answers.double().cpu().numpy())
        answers = np.vstack(parts)
        # values are logarithms of normalised counts plus 1; likelihoods have logarithms of means
        return (
            np.expm1(answers)
            if head.config.likelihood == "mse"
            else np.exp(np.clip(answers, -50, 50))
        )
