"""Published ideas of how to find rare cells, written anew from their papers, in brief."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix

from pancyte.metrics.neighbours import leiden
from pancyte.rare.residuals import components
from pancyte.tasks.expression import expression, log_normalised
from pancyte.tasks.task import RareCells

if TYPE_CHECKING:
    from pancyte.shapes import Cells

RARE = 0.1
"""A group of a larger share of the cells is not called rare, whichever method finds it."""


class GiniLike:
    """Genes that few cells have a lot of, and dense places among the cells that have them.

    The Gini index of each gene, corrected for how strongly it is expressed at most; the genes
    that stand out; Jaccard distances of cells by whether they express those; DBSCAN. After Jiang et
    al. 2016, GiniClust, Genome Biol. 17:144, with a cubic in place of a local regression, fitted
    again without its outliers, and at most 300 genes.
    """

    name = "gini-like"
    genes, p_value, radius, dense = 300, 1e-4, 0.5, 3

    def find_rare(self, cells: Cells, *, seed: int) -> RareCells:
        """Call every small cluster; a cell of a smaller cluster is rarer, one of none is not."""
        from sklearn.cluster import DBSCAN
        from sklearn.metrics import pairwise_distances

        chosen = self._genes(cells.counts)
        clusters = np.zeros(len(cells), dtype=int)
        if len(chosen):
            on = cells.counts[:, chosen].toarray() > 0
            distances = pairwise_distances(on, metric="jaccard")
            # two cells without any of the genes are alike, not a cluster of their own
            distances[~on.any(axis=1)] = 1.0
            scan = DBSCAN(eps=self.radius, min_samples=self.dense, metric="precomputed")
            clusters = scan.fit_predict(distances) + 1
        sizes = np.bincount(clusters)
        small = [n for n in np.argsort(sizes, kind="stable") if n and sizes[n] <= RARE * len(cells)]
        scores = np.where(clusters > 0, 1 / np.maximum(sizes[clusters], 1), 0.0)
        return RareCells(scores, tuple(np.flatnonzero(clusters == n) for n in small))

    def _genes(self, counts: csr_matrix) -> np.ndarray:
        from scipy.stats import norm

        columns = counts.tocsc()
        seen = np.flatnonzero(columns.getnnz(axis=0) >= self.dense)
        gini, highest = np.zeros(len(seen)), np.zeros(len(seen))
        for place, gene in enumerate(seen):
            values = np.sort(columns.data[columns.indptr[gene] : columns.indptr[gene + 1]])
            ranks = np.arange(counts.shape[0] - len(values) + 1, counts.shape[0] + 1)
            weighted = 2 * (ranks * values).sum() / (counts.shape[0] * values.sum())
            gini[place] = weighted - (counts.shape[0] + 1) / counts.shape[0]
            highest[place] = np.log2(values[-1] + 1)
        usual = np.ones(len(seen), dtype=bool)
        for _ in range(2):
            curve = np.polyfit(highest[usual], gini[usual], min(3, max(0, usual.sum() - 1)))
            left = gini - np.polyval(curve, highest)
            usual = left <= np.quantile(left[left >= 0], 0.75)
        p = norm.sf(left / max(left[usual].std(), 1e-12))
        order = np.argsort(p, kind="stable")[: self.genes]
        return seen[order[p[order] < self.p_value]]


class FireLike:
    """How few cells share a cell's bucket, over many random hashes.

    Each of 100 sketches compares 50 random genes with random thresholds and puts cells with the
    same answers in one bucket; a cell in small buckets is rare. After Jindal et al. 2018, FiRE,
    Nat. Commun. 9:4719, which calls cells beyond the upper quartile by 1.5 interquartile ranges.
    """

    name = "fire-like"
    sketches, genes, spread = 100, 50, 1.5

    def find_rare(self, cells: Cells, *, seed: int) -> RareCells:
        """Call the cells beyond the paper's threshold, as one group."""
        (logged,) = expression(cells)
        X = logged.toarray()
        rng = np.random.default_rng(seed)
        highest = X.max(axis=0)
        scores = np.zeros(len(X))
        for _ in range(self.sketches):
            columns = rng.integers(0, X.shape[1], self.genes)
            answers = X[:, columns] > rng.uniform(0, highest[columns])
            packed = np.packbits(answers, axis=1)
            _, bucket, sizes = np.unique(packed, axis=0, return_inverse=True, return_counts=True)
            scores -= 2 * np.log(sizes[bucket.ravel()] / len(X))
        low, high = np.quantile(scores, [0.25, 0.75])
        return RareCells(scores, (np.flatnonzero(scores > high + self.spread * (high - low)),))


class CadLike:
    """Clusters split by their own variable genes, kept if an isolation forest agrees.

    Leiden clusters that are not rare are clustered again on the genes that vary in each; a small
    cluster's own genes then train an isolation forest on all cells, and it is called if at least
    .7 of as many most anomalous cells are its own. After Xu et al. 2024, scCAD, Nat. Commun.
    15:7561, with differences of mean log expression in place of random forests.
    """

    name = "cad-like"
    rounds, genes, own, trees, least = 2, 20, 0.7, 20, 3

    def find_rare(self, cells: Cells, *, seed: int) -> RareCells:
        """Call the independent clusters; a cell is as rare as its cluster is independent."""
        counts = cells.counts[:, np.flatnonzero(cells.counts.getnnz(axis=0) >= self.least)]
        totals = np.asarray(counts.sum(axis=1)).ravel()
        logged = log_normalised(counts, totals)
        clusters = self._decomposed(counts, seed)
        scores, called = np.zeros(len(cells)), []
        whole = np.asarray(logged.sum(axis=0)).ravel()
        for name in np.unique(clusters):
            rows = np.flatnonzero(clusters == name)
            if not self.least <= len(rows) <= RARE * len(cells):
                continue
            inside = np.asarray(logged[rows].sum(axis=0)).ravel()
            difference = inside / len(rows) - (whole - inside) / (len(cells) - len(rows))
            top = np.argsort(-difference, kind="stable")[: self.genes]
            scores[rows] = self._independence(logged[:, top].toarray(), rows, seed)
            if scores[rows[0]] >= self.own:
                called.append((scores[rows[0]], rows))
        called.sort(key=lambda one: -one[0])
        return RareCells(scores, tuple(rows for _, rows in called))

    def _decomposed(self, counts: csr_matrix, seed: int) -> np.ndarray:
        clusters = np.zeros(counts.shape[0], dtype=int)
        for _ in range(self.rounds):
            split = clusters.copy()
            for name in np.unique(clusters):
                rows = np.flatnonzero(clusters == name)
                if len(rows) > RARE * len(clusters):
                    Z, _ = components(counts[rows], genes=1000, rank=20, seed=seed)
                    split[rows] = split.max() + 1 + leiden(Z)
            clusters = split
        return clusters

    def _independence(self, X: np.ndarray, rows: np.ndarray, seed: int) -> float:
        from sklearn.ensemble import IsolationForest

        forest = IsolationForest(n_estimators=self.trees, random_state=seed).fit(X)
        odd = np.argsort(forest.score_samples(X), kind="stable")[: len(rows)]
        return len(np.intersect1d(odd, rows)) / len(rows)
