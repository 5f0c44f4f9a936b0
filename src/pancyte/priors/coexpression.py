"""Genes that rise and fall together in the training cells get similar vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from pancyte.errors import InputError
from pancyte.priors.prior import Prior, PriorConfig
from pancyte.priors.table import PriorTable
from pancyte.store.corpus import Corpus
from pancyte.store.gather import row_sums

SLAB = 1024
TARGET = 1e4
PASSES = 4
"""Power iterations; the leading components of expression stand out, so few are enough."""
EXTRA = 16
"""Components found beyond those kept, which sharpens the last ones kept."""
RAREST = 10
"""Cells that must express a gene for its correlations to be looked at."""


@dataclass(frozen=True, kw_only=True)
class CoexpressionConfig(PriorConfig):
    """How co-expression is measured.

    Attributes
    ----------
    cells
        Look at about so many cells at most, spread evenly.
    """

    cells: int = 50_000


class Coexpression(Prior):
    """Vectors whose inner products are the genes' correlations across the training cells.

    Correlations are those of log1p-normalised counts, taken off each dataset's own mean, so that
    what differs between datasets is not in them. The leading eigenvectors of the correlation matrix
    come from randomised subspace iteration (Halko et al., SIAM Review 2011) over the corpus: the
    matrix itself is never made, and memory is that of genes × dims. No outside knowledge enters.
    """

    name = "coexpression"
    Config = CoexpressionConfig

    def table(self, corpus: Corpus, rows: Sequence[np.ndarray | None] | None = None) -> PriorTable:
        """Return vectors of the genes that at least ten of the cells express."""
        view = _Centred.of(corpus, _spread(corpus, rows, self.config.cells))
        seen = np.flatnonzero(view.spread > 0)
        wanted = min(self.config.dims, len(seen))
        if not wanted:
            raise InputError(
                "No gene varies within a dataset, so there is no co-expression.",
                fix="Give more cells, or leave the prior out.",
            )
        noise = np.random.default_rng(0).standard_normal((len(view.spread), wanted + EXTRA))
        basis = np.linalg.qr(view.correlate(noise))[0]
        for _ in range(PASSES - 1):
            basis = np.linalg.qr(view.correlate(basis))[0]
        strength, turned = np.linalg.eigh(basis.T @ view.correlate(basis))
        # eigh lists the weakest first
        leading = (basis @ turned)[:, ::-1][:, :wanted]
        vectors = leading * np.sqrt(np.maximum(strength[::-1][:wanted], 0.0))
        return PriorTable.normalised(corpus.features[["symbol"]].iloc[seen], vectors[seen])


@dataclass(frozen=True)
class _Centred:
    """Standardised expression of a corpus, known only by what it does to vectors."""

    corpus: Corpus
    rows: Sequence[np.ndarray]
    means: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, corpus: Corpus, rows: Sequence[np.ndarray]) -> _Centred:
        size = len(corpus.features)
        sums = np.zeros((len(corpus.parts), size))
        squares, often = np.zeros(size), np.zeros(size, np.int64)
        for number, values in _logged(corpus, rows):
            sums[number] += np.asarray(values.sum(axis=0)).ravel()
            squares += np.asarray(values.multiply(values).sum(axis=0)).ravel()
            often += values.getnnz(axis=0)
        cells = np.array([len(own) for own in rows], np.float64)[:, None]
        means = sums / np.maximum(cells, 1)
        within = np.maximum(squares - (cells * means**2).sum(axis=0), 0.0)
        return cls(corpus, rows, means, np.where(often >= RAREST, np.sqrt(within), 0.0))

    def correlate(self, vectors: np.ndarray) -> np.ndarray:
        """Multiply the genes' correlation matrix by vectors, in one pass. (genes, vectors)."""
        inverse = np.divide(1, self.spread, out=np.zeros_like(self.spread), where=self.spread > 0)
        scaled = vectors * inverse[:, None]
        usual = self.means @ scaled
        product = np.zeros_like(vectors)
        for number, values in _logged(self.corpus, self.rows):
            scores = values @ scaled - usual[number]
            product += values.T @ scores - np.outer(self.means[number], scores.sum(axis=0))
        return product * inverse[:, None]


def _logged(corpus: Corpus, rows: Sequence[np.ndarray]) -> Iterator[tuple[int, csr_matrix]]:
    for number, counts in corpus.slabs(SLAB, rows=rows):
        totals = row_sums(counts.indptr, counts.data)
        scale = TARGET / np.where(totals > 0, totals, 1.0)
        values = np.log1p(counts.data * np.repeat(scale, np.diff(counts.indptr)))
        yield number, csr_matrix((values, counts.indices, counts.indptr), shape=counts.shape)


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
