"""Held-out cells made to look as if the query's laboratory had measured them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix, diags

from pancyte.corpus.cells import column
from pancyte.corpus.splits import stratified_subsample
from pancyte.tasks.expression import shared_counts
from pancyte.tasks.linear import L2Logistic

if TYPE_CHECKING:
    from pancyte.shapes import Cells

READS = 20
"""A gene needs as many reads on both sides to tell how far the two are apart."""
GENES = 50
"""So many such genes are needed to tell it at all."""
ROUGH = 2000
"""Reference cells from which the query's composition is guessed."""
TO_SD = 1.4826
"""Median absolute deviation of a normal distribution, times this, is its standard deviation."""


@dataclass(frozen=True)
class Laboratory:
    """How otherwise a query was measured than a reference.

    Attributes
    ----------
    effects
        Natural logarithm of how many times as often each of the reference's genes is read in the
        query, beyond what the query's cell types explain; drawn to 0 by how uncertain it is,
        (genes,).
    depth
        Median reads of a query cell over those of a reference cell.
    spread
        Standard deviation of these effects between genes, robust, beyond what chance gives.
    """

    effects: np.ndarray
    depth: float
    spread: float


def compare(reference: Cells, query: Cells, *, label_key: str, seed: int = 0) -> Laboratory:
    """Find out how otherwise than the reference a query was measured, over the reference's genes.

    The query's mean rate of each gene is held against that of a mixture of the reference's types.
    How much of each type is in it is guessed by ridge regression; labels of the query are not
    looked at.
    """
    labels = column(reference, label_key)
    some = stratified_subsample(labels, min(1.0, ROUGH / len(labels)), seed=seed)
    rough = L2Logistic().label(
        reference.select(some), query, label_key=label_key, batch_key=None, seed=seed
    )
    (known, asked), _ = shared_counts(reference, query)
    shares, rates = rough.probabilities.mean(axis=0), _rates(known)
    types = [rates[labels == label] for label in rough.classes]
    means = np.vstack([_mean(cells) for cells in types])
    squares = np.vstack([_mean(cells.multiply(cells)) for cells in types])
    mixture, found = shares @ means, _mean(_rates(asked))
    within = shares @ (squares - means**2)
    reads = np.vstack([_sums(known), _sums(asked)])
    on_both = (reads > 0).all(axis=0) & (mixture > 0) & (found > 0)
    logs = np.log(np.divide(found, mixture, out=np.ones_like(found), where=on_both))
    relative = np.divide(within, mixture**2, out=np.zeros_like(within), where=on_both)
    noise = _noise(relative, np.maximum(reads, 1), len(reference), len(query))
    clear = on_both & (reads >= READS).all(axis=0)
    spread = _spread(logs[clear], noise[clear]) if clear.sum() >= GENES else 0.0
    kept = on_both * spread**2 / (spread**2 + noise)
    depth = float(np.median(_depths(asked)) / max(float(np.median(_depths(known))), 1.0))
    return Laboratory(kept * logs, depth, spread)


def share_to_rehearse(query: Laboratory, held_out: Sequence[Laboratory]) -> float:
    """Say which part of the query's effects its own cells lack when they are held out, 0 to 1.

    None if the query is no further from the reference than one of the held-out parts is from the
    others: then it may as well be a further donor. Otherwise so much that variances add up.
    """
    most = max((part.spread for part in held_out), default=0.0)
    if query.spread <= most:
        return 0.0
    return float(np.sqrt(1 - (most / query.spread) ** 2))


def much_nearer(query: Laboratory, held_out: Sequence[Laboratory]) -> bool:
    """Whether every held-out part is twice as far from the others as the query is.

    Then they show nothing of what the query is like: conditions, say, where the query is another
    donor under the same ones.
    """
    return bool(held_out) and query.spread < min(part.spread for part in held_out) / 2


def rehearsed(cells: Cells, query: Laboratory, share: float, *, seed: int = 0) -> Cells:
    """Measure cells of the reference once more, as the query's laboratory would have.

    Each gene is read more or less often by `share` of the query's effect, in logarithms. Reads
    are lost binomially and gained as Poisson counts. A cell keeps its number of reads, or gets
    fewer where the query has fewer; it never gets more.
    """
    if share == 0:
        return cells
    counts, rng = cells.counts, np.random.default_rng(seed)
    factors = np.exp(share * query.effects)[counts.indices]
    expected = csr_matrix((counts.data * factors, counts.indices, counts.indptr), counts.shape)
    scale = min(1.0, query.depth) ** share * _depths(counts) / np.maximum(_depths(expected), 1)
    factors = factors * np.repeat(scale, np.diff(counts.indptr))
    whole = np.rint(counts.data).astype(np.int64)
    made = rng.binomial(whole, np.minimum(factors, 1))
    made += rng.poisson(whole * np.maximum(factors - 1, 0))
    places = counts.indices.copy(), counts.indptr.copy()
    strained = csr_matrix((made.astype(counts.dtype), *places), counts.shape)
    return replace(cells, counts=strained)


def told(query: Laboratory, held_out: Sequence[Laboratory], share: float) -> str:
    """Say for the user whether the query was measured otherwise, and what was done about it."""
    most = max((part.spread for part in held_out), default=0.0)
    far, near = np.exp(query.spread), np.exp(most)
    if share == 0:
        return (
            "held-out cells are as far from the others as the query is from the reference: beyond "
            f"cell types, genes are read more or less often by a factor of up to {near:.2f} there "
            f"and of {far:.2f} here (one standard deviation)"
        )
    return (
        "the query was measured otherwise than the reference: beyond cell types, its genes are "
        f"read more or less often by a factor of {far:.2f} (one standard deviation), those of "
        f"held-out cells of at most {near:.2f}; so held-out cells were made like the query's "
        "before they were labelled"
    )


def _noise(relative: np.ndarray, reads: np.ndarray, known: int, asked: int) -> np.ndarray:
    """Variance of the log ratio of two means, by counting and by how cells of a type differ.

    Reference cells tell the latter for both sides: `relative`, their variance within types over the
    square of the mean, is what counting gives at their depth, and how they differ.
    """
    biology = np.maximum(relative - known / reads[0], 0)
    return np.asarray((1 / reads).sum(axis=0) + biology * (1 / known + 1 / asked))


def _spread(logs: np.ndarray, noise: np.ndarray) -> float:
    deviation = TO_SD * np.median(np.abs(logs - np.median(logs)))
    return float(np.sqrt(max(0.0, deviation**2 - np.median(noise))))


def _rates(counts: csr_matrix) -> csr_matrix:
    return csr_matrix(diags(1 / np.maximum(_depths(counts), 1)) @ counts)


def _depths(counts: csr_matrix) -> np.ndarray:
    return np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()


def _sums(counts: csr_matrix) -> np.ndarray:
    return np.asarray(counts.sum(axis=0), dtype=np.float64).ravel()


def _mean(rates: csr_matrix) -> np.ndarray:
    return np.asarray(rates.mean(axis=0), dtype=np.float64).ravel()
