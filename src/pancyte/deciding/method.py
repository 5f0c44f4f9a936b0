"""`pancyte.tl.annotate` as a method under test, so that it stands in the same tables as others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pancyte.deciding.decision import Decider, Limits
from pancyte.deciding.routes import routes
from pancyte.tasks.task import LabelProbabilities

if TYPE_CHECKING:
    from pancyte.models.model import Model
    from pancyte.shapes import Cells


class Annotate:
    """Choose the way to label on the reference's own held-out cells, and refuse where unsure.

    Parameters
    ----------
    models
        Tried beside the baselines.
    limits
        When a cell is not labelled; those of `pancyte.tl.annotate` by default.
    """

    name = "annotate"

    def __init__(self, models: Sequence[Model] = (), limits: Limits | None = None) -> None:
        self.models = tuple(models)
        self.limits = limits or Limits()

    @property
    def trained_on(self) -> list[dict[str, Any]]:
        """What the models among the ways were pre-trained on."""
        return [item for model in self.models for item in model.card.trained_on]

    def label(
        self, reference: Cells, query: Cells, *, label_key: str, batch_key: str | None, seed: int
    ) -> LabelProbabilities:
        """Return calibrated probabilities, and which cells it stands by."""
        decider = Decider(routes(self.models), seed=seed).fit(reference, label_key, query=query)
        decision = decider.decide(query, self.limits)
        sums = decision.probabilities.sum(axis=1, keepdims=True)
        even = np.full_like(decision.probabilities, 1 / len(decision.classes))
        # an empty cell has no probabilities; as a method it must give some
        given = np.where(sums > 0, decision.probabilities / np.where(sums > 0, sums, 1), even)
        return LabelProbabilities(decision.classes, given, decision.reasons == "")
