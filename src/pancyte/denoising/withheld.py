"""How well denoised cells predict reads that were withheld, and which method does so best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix
from scipy.special import gammaln

from pancyte.tasks.thinning import thin

if TYPE_CHECKING:
    from pancyte.shapes import Cells
    from pancyte.tasks.task import Denoises

TINY = 1e-12


def deviance(shares: np.ndarray, withheld: csr_matrix) -> float:
    """Poisson deviance of withheld reads, per read; the lower, the better.

    Parameters
    ----------
    shares
        Expected share of each gene in each cell's reads, (cells, genes); rows add up to 1.
    withheld
        Reads that made no part of `shares`, (cells, genes).

    Returns
    -------
    Twice the log-likelihood lost against a guess that knows every withheld count.

    Notes
    -----
    Thinned parts of Poisson counts are independent given what the cell holds, so a method gains
    nothing by repeating noise (Batson, Royer & Webber 2019, *Molecular cross-validation*, bioRxiv
    786269).
    """
    depth = np.asarray(withheld.sum(axis=1), dtype=np.float64).ravel()
    rows = np.repeat(np.arange(withheld.shape[0]), np.diff(withheld.indptr))
    expected = np.maximum(depth[rows] * shares[rows, withheld.indices], TINY)
    reads = withheld.data.astype(np.float64)
    # beyond these, expected and withheld reads add up to the same
    return float(2 * (reads * np.log(reads / expected)).sum() / max(reads.sum(), 1))


def log_likelihood(shares: np.ndarray, withheld: csr_matrix) -> float:
    """Poisson log-likelihood of withheld reads, in nats per read; see `deviance`."""
    depth = np.asarray(withheld.sum(axis=1), dtype=np.float64).ravel()
    rows = np.repeat(np.arange(withheld.shape[0]), np.diff(withheld.indptr))
    expected = np.maximum(depth[rows] * shares[rows, withheld.indices], TINY)
    reads = withheld.data.astype(np.float64)
    whole = (reads * np.log(expected) - gammaln(reads + 1)).sum() - depth.sum()
    return float(whole / max(reads.sum(), 1))


@dataclass(frozen=True)
class Trial:
    """What each method scored, and which is taken.

    Attributes
    ----------
    deviances
        Of reads withheld from the user's own cells, by method.
    chosen
        The method with the lowest; the first of those that are within `SLACK` of it.
    """

    deviances: dict[str, float]
    chosen: str

    @property
    def why(self) -> str:
        """The choice in one sentence."""
        tried = ", ".join(f"{name} {value:.3f}" for name, value in self.deviances.items())
        return f"{self.chosen} predicts withheld reads best (Poisson deviance per read: {tried})"


WITHHELD, CELLS, SLACK = 0.1, 2000, 0.001


def choose(methods: Sequence[Denoises], cells: Cells, *, seed: int) -> Trial:
    """Withhold a tenth of the reads, and see which method predicts them best.

    Parameters
    ----------
    methods
        The simplest first: it wins a tie.
    cells
        Raw counts; of more than 2,000 cells, 2,000 drawn by chance.
    seed
        Seed of everything random.
    """
    rng = np.random.default_rng(seed)
    if len(cells) > CELLS:
        cells = cells.select(np.sort(rng.choice(len(cells), CELLS, replace=False)))
    kept, withheld = thin(cells.counts, 1 - WITHHELD, rng)
    seen = replace(cells, counts=kept)
    scores = {one.name: deviance(one.denoise(seen, seed=seed), withheld) for one in methods}
    best = min(scores.values())
    chosen = next(name for name, value in scores.items() if value <= best + SLACK)
    return Trial(scores, chosen)
