"""Continuous values: the logarithm of depth-normalised counts."""

from __future__ import annotations

import numpy as np

from pancyte.tokenizers.tokenizer import Tokenizer


class ContinuousTokenizer(Tokenizer):
    """Each expressed gene becomes a token that carries log1p(count / total · target_sum)."""

    name = "continuous"
    value_kind = "continuous"
    keeps_counts = True

    def values(self, normalised: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Return log1p of the normalised counts."""
        return np.log1p(normalised)
