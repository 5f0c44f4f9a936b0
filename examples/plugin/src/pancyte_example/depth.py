"""Robustness to depth: an embedding should say what a cell is, not how deeply it was read."""

from collections.abc import Iterator, Sequence

import numpy as np

from pancyte.corpus.splits import stratified_subsample
from pancyte.tasks.dataset import Dataset, Split
from pancyte.tasks.task import Arrays, Embeds, embedded


class Depth:
    """How much of each cell's sequencing depth can be read off its embedding."""

    name = "depth"
    accepts = (Embeds,)

    def headline(self, dataset: Dataset) -> str:
        """Name the only metric."""
        return "depth_left"

    def metrics(self, dataset: Dataset) -> tuple[str, ...]:
        """Name the only metric."""
        return ("depth_left",)

    def baselines(self, dataset: Dataset) -> tuple[str, ...]:
        """PCA, and the same network untrained."""
        return ("pca", "random-weights")

    def splits(self, dataset: Dataset, seeds: Sequence[int]) -> Iterator[Split]:
        """Yield another 80 % of the cells for each seed."""
        labels = dataset.labels(dataset.cells)
        for seed in seeds:
            rows = stratified_subsample(labels, 0.8, seed=seed)
            yield Split(dataset, rows, rows, "all cells", seed)

    def run(self, method: Embeds, split: Split) -> dict[str, Arrays]:
        """Embed the cells and hand over their depth."""
        (vectors,) = embedded(method, split.query, batch_key=None, seed=split.seed)
        depth = np.asarray(split.query.counts.sum(axis=1), dtype=float).ravel()
        return {"zero-shot": {"embedding": vectors, "depth": depth}}
