"""Genes that rise and fall together in the training cells get similar vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pancyte.errors import InputError
from pancyte.priors.expression import Centred, evenly
from pancyte.priors.prior import Prior, PriorConfig
from pancyte.priors.table import PriorTable
from pancyte.store.corpus import Corpus

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

    @property
    def unit(self) -> bool:
        """In units of noise, a gene that varies more is longer."""
        return bool(self.config.per == "deviation")

    def table(self, corpus: Corpus, rows: Sequence[np.ndarray | None] | None = None) -> PriorTable:
        """Return vectors of the genes that enough of the cells express."""
        view = Centred.of(
            corpus,
            evenly(corpus, rows, self.config.cells),
            target_sum=self.config.target_sum,
            detected=self.config.detected,
            per=self.config.per,
        )
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
