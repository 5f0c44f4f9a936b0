"""Representation: whether an embedding made without labels keeps biology and drops technology."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from pancyte.corpus.cells import column
from pancyte.corpus.splits import stratified_subsample
from pancyte.tasks.dataset import Dataset, Split
from pancyte.tasks.task import Arrays, Embeds, embedded

SUBSAMPLE = 0.8

BIOLOGY = ("knn_purity", "ari", "nmi", "asw_label")
MIXING = ("batch_mixing", "asw_batch", "total")


class Embedding:
    """Zero-shot representation of a whole dataset, judged by its labels and batches.

    The method sees all cells and no label. Each seed takes another 80 % of the labelled cells,
    stratified by type, and seeds the method. Without a batch column only biology is scored.
    """

    name = "embedding"
    accepts = (Embeds,)

    def headline(self, dataset: Dataset) -> str:
        """Biology and mixing together, or neighbour purity where batches are not known."""
        return "knn_purity" if dataset.batch_key is None else "total"

    def metrics(self, dataset: Dataset) -> tuple[str, ...]:
        """Biology, and where batches are known mixing and the total of both."""
        return BIOLOGY if dataset.batch_key is None else (*BIOLOGY, *MIXING)

    def baselines(self, dataset: Dataset) -> tuple[str, ...]:
        """PCA, random weights and, where batches are known, Harmony."""
        aligned = () if dataset.batch_key is None else ("harmony",)
        return ("pca", *aligned, "random-weights")

    def splits(self, dataset: Dataset, seeds: Sequence[int]) -> Iterator[Split]:
        """Yield one subsample of all labelled cells per seed; it is reference and query at once."""
        labels = dataset.labels(dataset.cells)
        known = np.flatnonzero(labels != "")
        for seed in seeds:
            rows = known[stratified_subsample(labels[known], SUBSAMPLE, seed=seed)]
            yield Split(dataset, rows, rows, "all cells", seed)

    def run(self, method: Embeds, split: Split) -> dict[str, Arrays]:
        """Ask a method for vectors; the arrays are filed under ``"zero-shot"``."""
        dataset = split.dataset
        batch_key = dataset.batch_key
        (vectors,) = embedded(method, split.query, batch_key=batch_key, seed=split.seed)
        arrays = {"embedding": vectors, "labels": split.query_labels}
        if batch_key is not None:
            arrays["batches"] = column(split.query, batch_key)
        return {"zero-shot": arrays}
