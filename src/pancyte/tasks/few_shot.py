"""Few-shot: cell types again, learned from a handful of labelled cells of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from pancyte.corpus.splits import stratified_subsample
from pancyte.tasks.annotation import Annotation
from pancyte.tasks.dataset import Dataset, Split

SHOTS = (1, 5, 10, 50)
"""Labelled cells of each type."""
QUERY = 1000
"""Cells asked about at most, drawn alike from every type."""
SEPARATOR = " | "


class FewShot(Annotation):
    """Transfer of cell types from 1, 5, 10 and 50 labelled cells of each.

    The folds of `Annotation`, each once for every number of cells; the fold's name says which, as
    in ``human4 | 5 cells``. A type with fewer cells gives all it has. The cells of a seed are
    drawn once: the five hold the one, so that a curve differs by what was added.

    Who labels five cells of a type has thousands without a label. Methods that may look at those
    (``pca-all``) are therefore among the baselines: components of 14 cells alone would be easy to
    beat.
    """

    name = "few_shot"

    def metrics(self, dataset: Dataset) -> tuple[str, ...]:
        """Accuracy and macro-F1; probabilities of so few cells are not calibrated."""
        return ("accuracy", "macro_f1")

    def baselines(self, dataset: Dataset) -> tuple[str, ...]:
        """PCA of the labelled and of all cells, L1 logistic, self-training, random weights."""
        return ("pca", "pca-all", "l1-logistic", "self-trained", "random-weights")

    def splits(self, dataset: Dataset, seeds: Sequence[int]) -> Iterator[Split]:
        """Yield every fold and seed with each number of labelled cells."""
        for split in super().splits(dataset, seeds):
            asked = split.query_labels
            some = stratified_subsample(asked, min(1.0, QUERY / len(asked)), seed=split.seed)
            rank = _rank_in_type(split.reference_labels, split.seed)
            for shots in SHOTS:
                yield replace(
                    split,
                    reference_rows=split.reference_rows[rank < shots],
                    query_rows=split.query_rows[some],
                    fold=f"{split.fold}{SEPARATOR}{shots} cell{'s' * (shots > 1)}",
                )


def shots_of(fold: str) -> int:
    """Read from the name of a fold how many cells of each type were labelled."""
    return int(fold.rpartition(SEPARATOR)[2].split()[0])


def _rank_in_type(labels: np.ndarray, seed: int) -> np.ndarray:
    """Number the cells of each type in random order, (cells,)."""
    rank = np.empty(len(labels), np.int64)
    rng = np.random.default_rng(seed)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        rank[rows] = np.arange(len(rows))
    return rank
