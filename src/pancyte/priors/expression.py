"""Expression of a corpus within its datasets, in units of noise, as priors learn from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.sparse import csr_matrix

from pancyte.store.corpus import Corpus
from pancyte.store.gather import row_sums

SLAB = 8192
EFFECT = 0.5
"""Standard deviation, in natural logarithms, of what a technology does to a gene."""
FLOOR = 1e-3
"""Least technical variance of a gene, so that genes that hardly appear do not lead."""


@dataclass(frozen=True)
class Centred:
    """Expression of a corpus, in units of each gene's spread, known by what it does to vectors.

    Only of the genes (rows of the corpus's features) that enough cells express. In single
    precision, which halves what the passes read: that is what they wait for.
    """

    corpus: Corpus
    rows: Sequence[np.ndarray]
    target_sum: float
    genes: np.ndarray
    means: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(
        cls,
        corpus: Corpus,
        rows: Sequence[np.ndarray],
        *,
        target_sum: float,
        detected: int,
        per: Literal["deviation", "noise"],
    ) -> Centred:
        """Go through the corpus once for means and spreads, of genes that enough cells express."""
        size = len(corpus.features)
        sums = np.zeros((len(corpus.parts), size))
        squares, noise, often = np.zeros(size), np.zeros(size), np.zeros(size, np.int64)
        for number, counts, values in _slabs(corpus, rows, target_sum):
            sums[number] += np.asarray(values.sum(axis=0)).ravel()
            squares += np.asarray(values.multiply(values).sum(axis=0)).ravel()
            noise += np.bincount(values.indices, _noise(counts.data, values.data), minlength=size)
            often += values.getnnz(axis=0)
        cells = np.array([len(own) for own in rows], np.float64)[:, None]
        means = sums / np.maximum(cells, 1)
        if per == "noise":
            variance = noise + FLOOR * cells.sum()
        else:
            variance = np.maximum(squares - (cells * means**2).sum(axis=0), 0.0)
        genes = np.flatnonzero((often >= detected) & (variance > 0))
        means, spread = means[:, genes].astype(np.float32), np.sqrt(variance[genes])
        return cls(corpus, rows, target_sum, genes, means, spread.astype(np.float32))

    def correlate(self, vectors: np.ndarray) -> np.ndarray:
        """Multiply the genes' products, per spread, by vectors, in one pass. (genes, vectors)."""
        scaled = vectors.astype(np.float32) / self.spread[:, None]
        usual = self.means @ scaled
        product, sums = np.zeros_like(scaled), np.zeros_like(usual)
        for number, _, values in _slabs(self.corpus, self.rows, self.target_sum):
            known = values[:, self.genes]
            scores = known @ scaled - usual[number]
            product += known.T @ scores
            sums[number] += scores.sum(axis=0)
        return (product - self.means.T @ sums) / self.spread[:, None]

    def repeated(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Measure cells along vectors twice, from two halves of their reads, in one pass.

        Parameters
        ----------
        vectors
            (genes, vectors), of genes per spread.

        Returns
        -------
        what both halves share, and what each has by itself: covariances within datasets, (vectors,
        vectors) each. Halves have independent sampling noise (count splitting; Neufeld et al. 2024,
        Biostatistics 25:270), so noise is in the second only.
        """
        rng = np.random.default_rng(0)
        scaled = vectors.astype(np.float32) / self.spread[:, None]
        width = scaled.shape[1]
        shared, own = np.zeros((width, width)), np.zeros((width, width))
        sums = np.zeros((2, len(self.rows), width))
        for number, counts in self.corpus.slabs(SLAB, rows=self.rows):
            whole = counts[:, self.genes]
            half = whole.copy()
            half.data = rng.binomial(np.rint(whole.data).astype(np.int64), 0.5).astype(np.float32)
            pair = [logged(m, self.target_sum) @ scaled for m in (half, whole - half)]
            product = pair[0].T @ pair[1]
            shared += (product + product.T) / 2
            own += sum(scores.T @ scores for scores in pair) / 2
            sums[:, number] += [scores.sum(axis=0) for scores in pair]
        cells = np.array([len(rows) for rows in self.rows])
        first, second = sums / np.sqrt(np.maximum(cells, 1))[:, None]
        product = first.T @ second
        shared -= (product + product.T) / 2
        own -= (first.T @ first + second.T @ second) / 2
        return shared / cells.sum(), own / cells.sum()


def _slabs(
    corpus: Corpus, rows: Sequence[np.ndarray], target_sum: float
) -> Iterator[tuple[int, csr_matrix, csr_matrix]]:
    """Go through counts and their logarithms: number of the part, counts, values."""
    for number, counts in corpus.slabs(SLAB, rows=rows):
        yield number, counts, logged(counts, target_sum)


def logged(counts: csr_matrix, target_sum: float) -> csr_matrix:
    """Take log1p of counts scaled to the same total in each cell."""
    totals = row_sums(counts.indptr, counts.data)
    scale = target_sum / np.where(totals > 0, totals, 1.0)
    values = np.log1p(counts.data * np.repeat(scale, np.diff(counts.indptr)))
    return csr_matrix(
        (values.astype(np.float32), counts.indices, counts.indptr), shape=counts.shape
    )


def _noise(counts: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Variance of log1p(a) if log(a) varies by a gene's factor and by the sampling of reads."""
    slope = -np.expm1(-values)
    return slope**2 * (EFFECT**2 + 1 / np.maximum(counts, 1))


def evenly(
    corpus: Corpus, rows: Sequence[np.ndarray | None] | None, cells: int
) -> list[np.ndarray]:
    """Choose rows at even distances, the same share of every dataset."""
    given = rows or [None] * len(corpus.parts)
    whole = [
        np.arange(len(part)) if own is None else own
        for part, own in zip(corpus.parts, given, strict=True)
    ]
    every = max(1, -(-sum(map(len, whole)) // cells))
    return [own[::every] for own in whole]
