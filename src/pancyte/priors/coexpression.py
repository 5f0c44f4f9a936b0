"""Genes that rise and fall together in the training cells get similar vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.sparse import csr_matrix

from pancyte.errors import InputError
from pancyte.priors.prior import Prior, PriorConfig
from pancyte.priors.table import PriorTable
from pancyte.store.corpus import Corpus
from pancyte.store.gather import row_sums

SLAB = 8192
EFFECT = 0.5
"""Standard deviation, in natural logarithms, of what a technology does to a gene."""
FLOOR = 1e-3
"""Least technical variance of a gene, so that genes that hardly appear do not lead."""
PASSES = 4
"""Power iterations; the leading components of expression stand out, so few are enough."""
EXTRA = 16
"""Components found beyond those kept, which sharpens the last ones kept."""


@dataclass(frozen=True, kw_only=True)
class CoexpressionConfig(PriorConfig):
    """How co-expression is measured.

    Attributes
    ----------
    cells
        Look at about so many cells at most, spread evenly.
    target_sum
        Every cell is scaled to this total count before the logarithm, as in the tokenizer.
    detected
        Leave out genes that fewer cells express.
    per
        What a gene's expression is measured in: its standard ``"deviation"``, which makes
        correlations, or the standard deviation that ``"noise"`` alone would give it.
    power
        The vectors' components are scaled by this power of their variance: ½ gives inner products
        that are correlations; −½ makes all components of a cell equally wide.
    """

    cells: int = 50_000
    target_sum: float = 1e4
    detected: int = 10
    per: Literal["deviation", "noise"] = "deviation"
    power: float = 0.5


class Coexpression(Prior):
    """Vectors whose inner products are the genes' correlations across the training cells.

    Correlations are those of log1p-normalised counts, taken off each dataset's own mean, so that
    what differs between datasets is not in them. The leading eigenvectors of the correlation matrix
    come from randomised subspace iteration (Halko et al., SIAM Review 2011) over the corpus: the
    matrix itself is never made, and memory is that of genes × dims. No outside knowledge enters.

    With ``per="noise"`` a gene counts by how far it varies beyond what technology does to it, which
    is taken to be a factor per gene, log-normal with a standard deviation of ½, and the sampling of
    reads. The vectors then keep their lengths, and the sum of a cell's vectors, each times its
    gene's value, gives the cell's principal components in units of that noise.
    """

    name = "coexpression"
    Config = CoexpressionConfig

    def table(self, corpus: Corpus, rows: Sequence[np.ndarray | None] | None = None) -> PriorTable:
        """Return vectors of the genes that enough of the cells express."""
        view = _Centred.of(corpus, _spread(corpus, rows, self.config.cells), self.config)
        wanted = min(self.config.dims, len(view.genes))
        if not wanted:
            raise InputError(
                "No gene varies within a dataset, so there is no co-expression.",
                fix="Give more cells, or leave the prior out.",
            )
        noise = np.random.default_rng(0).standard_normal((len(view.genes), wanted + EXTRA))
        basis = np.linalg.qr(view.correlate(noise))[0]
        for _ in range(PASSES - 1):
            basis = np.linalg.qr(view.correlate(basis))[0]
        strength, turned = np.linalg.eigh(basis.T @ view.correlate(basis))
        # eigh lists the weakest first
        leading = (basis @ turned)[:, ::-1][:, :wanted]
        least = 1e-9 * strength[-1]
        vectors = leading * np.maximum(strength[::-1][:wanted], least) ** self.config.power
        names = corpus.features[["symbol"]].iloc[view.genes]
        if self.config.per == "noise":
            return PriorTable.scaled(names, vectors / view.spread[:, None])
        return PriorTable.normalised(names, vectors)


@dataclass(frozen=True)
class _Centred:
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
    def of(cls, corpus: Corpus, rows: Sequence[np.ndarray], config: CoexpressionConfig) -> _Centred:
        size = len(corpus.features)
        sums = np.zeros((len(corpus.parts), size))
        squares, noise, often = np.zeros(size), np.zeros(size), np.zeros(size, np.int64)
        for number, counts, values in _logged(corpus, rows, config.target_sum):
            sums[number] += np.asarray(values.sum(axis=0)).ravel()
            squares += np.asarray(values.multiply(values).sum(axis=0)).ravel()
            noise += np.bincount(values.indices, _noise(counts.data, values.data), minlength=size)
            often += values.getnnz(axis=0)
        cells = np.array([len(own) for own in rows], np.float64)[:, None]
        means = sums / np.maximum(cells, 1)
        if config.per == "noise":
            variance = noise + FLOOR * cells.sum()
        else:
            variance = np.maximum(squares - (cells * means**2).sum(axis=0), 0.0)
        genes = np.flatnonzero((often >= config.detected) & (variance > 0))
        means, spread = means[:, genes].astype(np.float32), np.sqrt(variance[genes])
        return cls(corpus, rows, config.target_sum, genes, means, spread.astype(np.float32))

    def correlate(self, vectors: np.ndarray) -> np.ndarray:
        """Multiply the genes' products, per spread, by vectors, in one pass. (genes, vectors)."""
        scaled = vectors.astype(np.float32) / self.spread[:, None]
        usual = self.means @ scaled
        product, sums = np.zeros_like(scaled), np.zeros_like(usual)
        for number, _, values in _logged(self.corpus, self.rows, self.target_sum):
            known = values[:, self.genes]
            scores = known @ scaled - usual[number]
            product += known.T @ scores
            sums[number] += scores.sum(axis=0)
        return (product - self.means.T @ sums) / self.spread[:, None]


def _logged(
    corpus: Corpus, rows: Sequence[np.ndarray], target_sum: float
) -> Iterator[tuple[int, csr_matrix, csr_matrix]]:
    """Go through counts and their logarithms: number of the part, counts, values."""
    for number, counts in corpus.slabs(SLAB, rows=rows):
        totals = row_sums(counts.indptr, counts.data)
        scale = target_sum / np.where(totals > 0, totals, 1.0)
        values = np.log1p(counts.data * np.repeat(scale, np.diff(counts.indptr)))
        values = values.astype(np.float32)
        logged = csr_matrix((values, counts.indices, counts.indptr), shape=counts.shape)
        yield number, counts, logged


def _noise(counts: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Variance of log1p(a) if log(a) varies by a gene's factor and by the sampling of reads."""
    slope = -np.expm1(-values)
    return slope**2 * (EFFECT**2 + 1 / np.maximum(counts, 1))


def _spread(
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
