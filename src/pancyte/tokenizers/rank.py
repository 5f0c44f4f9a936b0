"""Rank values: genes ordered by how far they stand above their corpus median."""

from __future__ import annotations

import numpy as np

from pancyte.tokenizers.tokenizer import Tokenizer


class RankTokenizer(Tokenizer):
    """Each cell becomes its genes in falling order of count / total · 10⁴ / corpus median.

    Geneformer's rank-value encoding (Theodoris et al., Nature 2023), with the total taken over
    all measured genes, and ties, which are common in shallow cells, given to the lower feature
    id so that a cell always gets the same tokens. A token's value is its rank, from 0.
    """

    name = "rank"
    value_kind = "rank"

    def values(self, normalised: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Return each token's place in its cell."""
        return np.arange(offsets[-1]) - np.repeat(offsets[:-1], np.diff(offsets))
