"""A model fitted to the reference's labels, from probe to full training, as a method under test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pancyte.adaptation.adapter import Adapter, Kind
from pancyte.adaptation.tuning import Tuning
from pancyte.tasks.task import LabelProbabilities

if TYPE_CHECKING:
    from pancyte.models.model import Model
    from pancyte.shapes import Cells


class Adapted:
    """Train some or all of a model on the reference's labels, then let it label the query.

    Parameters
    ----------
    model
        The base, fitted anew for every split.
    kind
        As of `pancyte.adaptation.adapter.Adapter`; probes of the frozen model come with the
        model itself, so ``"lora"``, ``"partial"`` and ``"full"`` are what this is for.
    **tuning
        As of `pancyte.adaptation.tuning.Tuning`; the split gives the seed.

    Raises
    ------
    UsageError
        If there is no such kind.
    """

    def __init__(self, model: Model, kind: Kind, **tuning: Any) -> None:
        Adapter(model, kind, tuning=Tuning(**tuning))
        self.model, self.kind, self.tuning = model, kind, tuning
        self.name = f"{kind}({model.name})"

    @property
    def trained_on(self) -> list[dict[str, Any]]:
        """The datasets the base's card says it has seen."""
        return self.model.card.trained_on

    def label(
        self, reference: Cells, query: Cells, *, label_key: str, batch_key: str | None, seed: int
    ) -> LabelProbabilities:
        """Return the probability of each reference label; batches are held out to stop by."""
        tuning = Tuning(**self.tuning, seed=seed)
        adapter = Adapter(self.model, self.kind, tuning=tuning)
        several = batch_key is not None and reference.obs[batch_key].nunique() > 1
        adapter.fit(reference, label_key=label_key, donor_key=batch_key if several else None)
        return LabelProbabilities(adapter.classes_, adapter.predict_proba(query))
