"""TranscriptFormer's tokens: the first genes of a cell with their counts, clipped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pancyte.tokenizers.packing import Rows, offsets_of
from pancyte.tokenizers.tokenizer import Tokenizer, TokenizerConfig


@dataclass(frozen=True)
class TranscriptformerTokenizerConfig(TokenizerConfig):
    """How counts are read; further settings as in `TokenizerConfig`.

    Attributes
    ----------
    clip
        Higher counts are read as this.
    """

    clip: float = 30.0


class TranscriptformerTokenizer(Tokenizer):
    """Each expressed gene becomes a token that carries its raw count, at most 30.

    As TranscriptFormer's published code (Pearce et al., bioRxiv 2025), which neither sorts genes
    nor normalises counts. Order matters to its network: published, it is that of the data's
    columns, here that of the vocabulary, so that a cell has one embedding. Of longer cells the
    first genes are read.
    """

    name = "transcriptformer"
    value_kind = "continuous"
    Config = TranscriptformerTokenizerConfig
    config: TranscriptformerTokenizerConfig

    def pack(self, rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Take each cell's first genes and clip their counts."""
        lengths = np.minimum(rows.stops - rows.starts, self.config.max_length)
        offsets = offsets_of(lengths)
        at = np.arange(offsets[-1]) + np.repeat(rows.starts - offsets[:-1], lengths)
        counts = np.minimum(rows.counts[at].astype(np.float64), self.config.clip)
        return rows.ids[at], counts.astype(np.float32), offsets
