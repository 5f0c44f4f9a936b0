"""The ways to label a query that are tried against each other: methods and what reads them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pancyte import registry
from pancyte.adaptation.probe import KNNProbe, LogisticProbe
from pancyte.corpus.cells import column
from pancyte.tasks.task import LabelProbabilities, Labels, embedded

if TYPE_CHECKING:
    from pancyte.models.model import Model
    from pancyte.shapes import Cells

BASELINES = ("self-trained", "l2-logistic", "l1-logistic", "pca", "shifted-centroid")
"""The first is averaged with each other one."""
SECOND = "l1-logistic"
"""Held against the labels: it looks at few genes, and at the query not at all."""
Adaptation = Literal["direct", "knn", "logistic"]


@dataclass(frozen=True)
class Route:
    """One way from a labelled reference to labels.

    Attributes
    ----------
    method
        What labels cells, or represents them as vectors.
    adaptation
        ``"direct"`` for a method that labels; ``"knn"`` or ``"logistic"`` on a frozen embedding.
    baseline
        Whether it is one of the simple methods that any other must beat.
    """

    method: Any
    adaptation: Adaptation
    baseline: bool

    @property
    def name(self) -> str:
        """Name for tables, such as ``"pca (knn)"``."""
        name = str(self.method.name)
        return name if self.adaptation == "direct" else f"{name} ({self.adaptation})"

    def label(
        self,
        reference: Cells,
        query: Cells,
        *,
        label_key: str,
        batch_key: str | None = None,
        seed: int = 0,
    ) -> LabelProbabilities:
        """Return the probability of each reference label for each query cell.

        The reference's batches (donors, studies) are told to methods that label, not to those that
        embed, which would need the query's as well.
        """
        if self.adaptation == "direct":
            answer: LabelProbabilities = self.method.label(
                reference, query, label_key=label_key, batch_key=batch_key, seed=seed
            )
            return answer
        known, asked = embedded(self.method, reference, query, batch_key=None, seed=seed)
        probe = KNNProbe() if self.adaptation == "knn" else LogisticProbe()
        probe.fit(known, column(reference, label_key))
        return LabelProbabilities(probe.classes_, probe.predict_proba(asked))


def routes(models: Iterable[Model], *, baselines: Sequence[str] = BASELINES) -> tuple[Route, ...]:
    """List the ways to try: registered baselines, and each model with both probes."""
    from pancyte.tasks.frozen import FrozenModel

    simple = [registry.get("methods", name)() for name in baselines]
    return tuple(
        Route(method, adaptation, baseline)
        for baseline, methods in ((True, simple), (False, map(FrozenModel, models)))
        for method in methods
        for adaptation in _adaptations(method)
    )


def _adaptations(method: Any) -> tuple[Adaptation, ...]:
    return ("direct",) if isinstance(method, Labels) else ("knn", "logistic")


def in_columns(answer: LabelProbabilities, classes: np.ndarray) -> np.ndarray:
    """Put probabilities in the columns of `classes`, which hold all of the answer's own.

    Returns
    -------
    (cells, classes); 0 for a class that the answer does not know.
    """
    table = np.zeros((len(answer.probabilities), len(classes)))
    table[:, np.searchsorted(classes, answer.classes)] = answer.probabilities
    return table
