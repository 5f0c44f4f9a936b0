"""Ranks by count alone: genes in falling order of expression."""

from __future__ import annotations

import numpy as np

from pancyte.tokenizers.packing import Rows
from pancyte.tokenizers.rank import RankTokenizer


class CountRankTokenizer(RankTokenizer):
    """Each cell becomes its genes in falling order of their counts.

    The order of tGPT (Shen et al., iScience 2023) and Cell2Sentence (Levine et al., ICML 2024). The
    same genes lead nearly every cell, where `RankTokenizer` asks what is unusual for a gene. Of a
    long cell the highest counts are kept; ties go to the lower feature id.
    """

    name = "count_rank"

    def pack(self, rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Order each cell's features and number them."""
        medians = np.ones(len(self.vocabulary))
        ids, places, offsets = rows.ranked(medians, self.config.max_length)
        return ids, places, offsets
