"""CellPLM's values: the logarithm of raw counts."""

from __future__ import annotations

import numpy as np

from pancyte.tokenizers.packing import Rows
from pancyte.tokenizers.tokenizer import Tokenizer


class CellPLMTokenizer(Tokenizer):
    """Each expressed gene becomes a token that carries log1p of its raw count.

    As CellPLM's published code (Wen et al., ICLR 2024): depth is not normalised away.
    """

    name = "cellplm"
    value_kind = "continuous"

    def pack(self, rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Take the logarithm of raw counts; of longer cells what stands out most is kept."""
        positions, offsets = rows.top(self.medians, self.config.max_length)
        if isinstance(positions, slice):
            lengths = np.diff(offsets)
            positions = np.arange(offsets[-1]) + np.repeat(rows.starts - offsets[:-1], lengths)
        counts = rows.counts[positions].astype(np.float64)
        return rows.ids[positions], np.log1p(counts).astype(np.float32), offsets
