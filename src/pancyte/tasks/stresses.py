"""What can be wrong with cells: accidents of a laboratory, each in several severities."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np
from scipy.sparse import csr_matrix

from pancyte.corpus.cells import column
from pancyte.tasks.expression import log_normalised
from pancyte.tasks.thinning import thin

if TYPE_CHECKING:
    from pancyte.shapes import Cells

Pair = tuple["Cells", "Cells"]


class Stress(Protocol):
    """One kind of accident.

    Attributes
    ----------
    name
        The registered name.
    severities
        Rising; 0, which is no accident, is not among them.
    """

    name: str
    severities: ClassVar[tuple[float, ...]]

    def strained(
        self, reference: Cells, query: Cells, severity: float, *, label_key: str, seed: int
    ) -> Pair:
        """Return reference and query as they would be after the accident."""
        ...


class Depth:
    """The query was sequenced less deeply: each read is lost with this probability."""

    name = "depth"
    severities: ClassVar[tuple[float, ...]] = (0.5, 0.75, 0.9, 0.95)

    def strained(
        self, reference: Cells, query: Cells, severity: float, *, label_key: str, seed: int
    ) -> Pair:
        """Thin the query's counts binomially."""
        rng = np.random.default_rng(seed)
        kept, _ = thin(query.counts, 1 - severity, rng)
        return reference, _with_counts(query, kept)


class Dropout:
    """Genes of the query were missed: each gene of a cell is lost whole with this probability."""

    name = "dropout"
    severities: ClassVar[tuple[float, ...]] = (0.25, 0.5, 0.75)

    def strained(
        self, reference: Cells, query: Cells, severity: float, *, label_key: str, seed: int
    ) -> Pair:
        """Set counts to zero at random."""
        kept = np.random.default_rng(seed).random(query.counts.nnz) >= severity
        return reference, _with_data(query, query.counts.data * kept)


class Ambient:
    """The query swam in a soup: this share of each cell's reads comes from the mean of all cells.

    As free RNA in droplets does (Young & Behjati 2020, GigaScience 9:giaa151). Depths stay.
    """

    name = "ambient"
    severities: ClassVar[tuple[float, ...]] = (0.1, 0.25, 0.5)

    def strained(
        self, reference: Cells, query: Cells, severity: float, *, label_key: str, seed: int
    ) -> Pair:
        """Replace reads by reads of the mean profile."""
        rng = np.random.default_rng(seed)
        kept, lost = thin(query.counts, 1 - severity, rng)
        depths = np.asarray(lost.sum(axis=1)).ravel().astype(int)
        profile = np.asarray(query.counts.sum(axis=0), dtype=np.float64).ravel()
        reads = rng.choice(len(profile), size=depths.sum(), p=profile / profile.sum())
        rows = np.repeat(np.arange(len(query)), depths)
        soup = csr_matrix((np.ones(len(reads)), (rows, reads)), shape=query.counts.shape)
        return reference, _with_counts(query, kept + soup)


class Panel:
    """The query was measured with a panel: only those genes that vary most in the reference.

    The severity is the share of the reference's genes that the panel lacks.
    """

    name = "panel"
    severities: ClassVar[tuple[float, ...]] = (0.8, 0.95, 0.98)

    def strained(
        self, reference: Cells, query: Cells, severity: float, *, label_key: str, seed: int
    ) -> Pair:
        """Keep the genes of the query that vary most in the reference."""
        totals = np.asarray(reference.counts.sum(axis=1), dtype=np.float64).ravel()
        logged = log_normalised(reference.counts, totals)
        genes = max(1, round((1 - severity) * len(reference.features)))
        mean = np.asarray(logged.mean(axis=0)).ravel()
        variance = np.asarray(logged.multiply(logged).mean(axis=0)).ravel() - mean**2
        names = reference.features.index[np.argsort(-variance, kind="stable")[:genes]]
        kept = np.flatnonzero(query.features.index.isin(names))
        counts = csr_matrix(query.counts[:, kept])
        return reference, replace(query, counts=counts, features=query.features.iloc[kept])


class Batch:
    """The query comes from another laboratory: each gene is caught more or less well there.

    A factor for each gene, log-normal; the severity is its standard deviation in natural
    logarithms. Counts are drawn anew around the changed expectation.
    """

    name = "batch"
    severities: ClassVar[tuple[float, ...]] = (0.5, 1.0, 2.0)

    def strained(
        self, reference: Cells, query: Cells, severity: float, *, label_key: str, seed: int
    ) -> Pair:
        """Multiply genes by random factors."""
        rng = np.random.default_rng(seed)
        factors = np.exp(severity * rng.standard_normal(len(query.features)))
        expected = query.counts.data * factors[query.counts.indices]
        scale = query.counts.data.sum() / expected.sum()
        return reference, _with_data(query, rng.poisson(expected * scale))


class LabelNoise:
    """The reference is labelled wrongly: this share of its cells has another type's label."""

    name = "label_noise"
    severities: ClassVar[tuple[float, ...]] = (0.1, 0.2, 0.4)

    def strained(
        self, reference: Cells, query: Cells, severity: float, *, label_key: str, seed: int
    ) -> Pair:
        """Exchange labels for others, each type as likely."""
        rng = np.random.default_rng(seed)
        labels = column(reference, label_key).astype(object)
        classes, codes = np.unique(labels.astype(str), return_inverse=True)
        wrong = rng.random(len(labels)) < severity
        if len(classes) > 1:
            shift = rng.integers(1, len(classes), wrong.sum())
            labels[wrong] = classes[(codes[wrong] + shift) % len(classes)]
        return replace(reference, obs=reference.obs.assign(**{label_key: labels})), query


def _with_data(cells: Cells, data: np.ndarray) -> Cells:
    counts = cells.counts
    made = csr_matrix((data, counts.indices.copy(), counts.indptr.copy()), shape=counts.shape)
    return _with_counts(cells, made)


def _with_counts(cells: Cells, counts: csr_matrix) -> Cells:
    return replace(cells, counts=csr_matrix(counts, dtype=cells.counts.dtype))
