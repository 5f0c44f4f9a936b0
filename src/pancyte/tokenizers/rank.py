"""Rank values: genes ordered by how far they stand above their corpus median."""

from __future__ import annotations

import numpy as np

from pancyte.tokenizers.packing import Rows
from pancyte.tokenizers.tokenizer import Tokenizer


class RankTokenizer(Tokenizer):
    """Each cell becomes its genes in falling order of count / total · 10⁴ / corpus median.

    Geneformer's rank-value encoding (Theodoris et al., Nature 2023), with the total taken over
    all measured genes, and ties, which are common in shallow cells, given to the lower feature
    id so that a cell always gets the same tokens. A token's value is its rank, from 0.
    """

    name = "rank"
    value_kind = "rank"

    def pack(self, rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Order each cell's features and number them."""
        ids, places, offsets = rows.ranked(self.medians, self.config.max_length)
        return ids, places, offsets
