"""Stress: cell types again, of cells to which something has happened."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pancyte import registry
from pancyte.corpus.splits import stratified_subsample
from pancyte.tasks.annotation import Annotation
from pancyte.tasks.dataset import Dataset, Split
from pancyte.tasks.task import Arrays, Method

if TYPE_CHECKING:
    from pancyte.tasks.stresses import Stress

REFERENCE, QUERY = 2000, 1000
"""Cells that take part at most, drawn alike from every type."""
SEPARATOR = " | "
NONE = "none"


class Stressed(Annotation):
    """Transfer of cell types when the query or the labels are damaged, by kind and severity.

    The folds of `Annotation`, each once as it is and once for every stress and
    severity; the fold's name says which, as in ``human4 | depth 0.9``. Means over folds are so the
    area under the curves of severity. Methods that may leave cells unlabelled are also scored on
    what they did label: a good one says that it does not know.

    Parameters
    ----------
    kinds
        Names of stresses; all that are registered if not given.
    """

    name = "stress"

    def __init__(self, kinds: Sequence[str] = ()) -> None:
        self.kinds = tuple(kinds)

    def metrics(self, dataset: Dataset) -> tuple[str, ...]:
        """Those of annotation, the worst type, and how much is answered and how well."""
        return ("accuracy", "macro_f1", "worst_f1", "ece", "answered", "accuracy_answered")

    def baselines(self, dataset: Dataset) -> tuple[str, ...]:
        """PCA with both probes, L1 logistic, self-training, `annotate`, random weights."""
        return ("pca", "l1-logistic", "self-trained", "annotate", "random-weights")

    def splits(self, dataset: Dataset, seeds: Sequence[int]) -> Iterator[Split]:
        """Yield every fold, seed, stress and severity."""
        kinds = [
            registry.get("stresses", name)() for name in self.kinds or registry.names("stresses")
        ]
        for split in super().splits(dataset, seeds):
            small = _smaller(split)
            yield _strained(small, None, 0.0)
            for kind in kinds:
                for severity in kind.severities:
                    yield _strained(small, kind, severity)

    def run(self, method: Method, split: Split) -> dict[str, Arrays]:
        """As annotation; a cell counts as answered unless the method says otherwise."""
        return {
            name: {"answered": np.ones(len(arrays["y_true"]), bool), **arrays}
            for name, arrays in super().run(method, split).items()
        }


def told(fold: str) -> tuple[str, str, float]:
    """Take the name of a fold apart: what was held out, stress, severity."""
    held_out, _, what = fold.rpartition(SEPARATOR)
    kind, _, severity = what.rpartition(" ")
    return held_out, kind, float(severity)


def _smaller(split: Split) -> Split:
    """Draw the cells that take part, of both sides."""
    known, asked = split.reference_labels, split.query_labels
    rows = stratified_subsample(known, min(1.0, REFERENCE / len(known)), seed=split.seed)
    some = stratified_subsample(asked, min(1.0, QUERY / len(asked)), seed=split.seed)
    return Split(
        split.dataset, split.reference_rows[rows], split.query_rows[some], split.fold, split.seed
    )


def _strained(split: Split, kind: Stress | None, severity: float) -> Split:
    """Return the split after an accident, with cells of its own."""
    dataset = split.dataset
    reference, query = split.reference, dataset.asked.select(split.query_rows)
    name = NONE if kind is None else kind.name
    if kind is not None:
        seed = zlib.crc32(f"{name} {severity} {split.seed} {split.fold}".encode())
        reference, query = kind.strained(
            reference, query, severity, label_key=dataset.label_key, seed=seed
        )
    made = Dataset(
        cells=reference,
        label_key=dataset.label_key,
        batch_key=dataset.batch_key,
        query=query,
        unlabelled=dataset.unlabelled,
        title=dataset.name,
    )
    fold = f"{split.fold}{SEPARATOR}{name} {severity:g}"
    return Split(made, np.arange(len(reference)), np.arange(len(query)), fold, split.seed)
