"""Rank values: genes ordered by how far they stand above their corpus median."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pancyte.tokenizers.packing import Rows
from pancyte.tokenizers.tokenizer import Tokenizer, TokenizerConfig


@dataclass(frozen=True)
class RankConfig(TokenizerConfig):
    """How genes are ordered; further settings as in `TokenizerConfig`.

    Attributes
    ----------
    by_median
        Divide by the corpus median first, as Geneformer does; otherwise genes stand in the order
        of their counts, as in tGPT (Shen et al., iScience 2023) and Cell2Sentence (Levine et
        al., ICML 2024).
    """

    by_median: bool = True


class RankTokenizer(Tokenizer):
    """Each cell becomes its genes in falling order of count / total · 10⁴ / corpus median.

    Geneformer's rank-value encoding (Theodoris et al., Nature 2023), with the total taken over
    all measured genes, and ties, which are common in shallow cells, given to the lower feature
    id so that a cell always gets the same tokens. A token's value is its rank, from 0.
    """

    name = "rank"
    value_kind = "rank"
    Config = RankConfig
    config: RankConfig

    def pack(self, rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Order each cell's features and number them."""
        medians = self.medians if self.config.by_median else np.ones(len(self.vocabulary))
        ids, places, offsets = rows.ranked(medians, self.config.max_length)
        return ids, places, offsets
