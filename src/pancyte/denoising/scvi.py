"""Denoising by the decoder of scVI."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pancyte.denoising.shares import floored, shares_of
from pancyte.tasks.scvi import trained

if TYPE_CHECKING:
    from pancyte.shapes import Cells


class SCVIDenoise:
    """What scVI's decoder expects of each cell (Lopez et al. 2018, Nat. Methods 15:1053).

    Trained on the very cells, without batches, with the library's own settings and at most 200
    epochs. Needs the extra ``scvi``.
    """

    name = "scvi-denoise"

    def denoise(self, cells: Cells, *, seed: int) -> np.ndarray:
        """Return the decoder's shares, (cells, genes)."""
        model = trained(cells.counts, np.zeros(len(cells), int).astype(str), seed=seed)
        levels = model.get_normalized_expression(library_size=1, return_numpy=True)
        return floored(shares_of(levels), cells.counts)
