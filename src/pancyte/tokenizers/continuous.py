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

    @property
    def usual(self) -> np.ndarray | None:
        """The logarithm of the feature's median, times how often it is detected, (features,)."""
        table = self.vocabulary.table
        if "detection" not in table:
            return None
        return np.log1p(self.medians) * table["detection"].to_numpy(np.float64)
