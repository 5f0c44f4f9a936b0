"""Scanorama: batches stitched together where they overlap."""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING

import numpy as np

from pancyte.errors import MissingError
from pancyte.tasks.baselines import COMPONENTS, batches_of
from pancyte.tasks.expression import expression

if TYPE_CHECKING:
    from pancyte.shapes import Cells


class Scanorama:
    """Batches stitched by mutual neighbours (Hie et al. 2019, Nat. Biotechnol. 37:685).

    On the log-normalised expression of 2,000 highly variable genes of the reference, in 50
    dimensions. Transductive, without labels. Needs the extra ``scanorama`` (MIT licence).
    """

    name = "scanorama"

    def embed(
        self, reference: Cells, *queries: Cells, batch_key: str | None, seed: int
    ) -> tuple[np.ndarray, ...]:
        """Return (cells, at most 50) for the reference and for each query."""
        try:
            import scanorama
        except ImportError as error:
            raise MissingError(
                "The method 'scanorama' needs scanorama, which is not installed.",
                fix="pip install 'pancyte[scanorama]'",
            ) from error
        from scipy.sparse import vstack

        parts = (reference, *queries)
        batches = batches_of(parts, batch_key)
        X = vstack(expression(*parts), format="csr")
        genes = [str(gene) for gene in range(X.shape[1])]
        names = np.unique(batches)
        rank = min(COMPONENTS, min(X.shape) - 1)
        with redirect_stdout(StringIO()):
            found, _ = scanorama.integrate(
                [X[np.flatnonzero(batches == name)] for name in names],
                [genes] * len(names),
                dimred=rank, seed=seed, verbose=0,
            )  # fmt: skip
        Z = np.empty((X.shape[0], found[0].shape[1]))
        for name, vectors in zip(names, found, strict=True):
            Z[batches == name] = vectors
        return tuple(np.split(Z, np.cumsum([len(cells) for cells in parts])[:-1]))
