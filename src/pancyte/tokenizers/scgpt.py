"""scGPT's tokens for embedding: raw counts in quantile bins, long cells sampled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pancyte.tokenizers.binning import quantile_bins, uniforms_of
from pancyte.tokenizers.bins import BinsConfig, BinsTokenizer
from pancyte.tokenizers.packing import Rows, offsets_of


@dataclass(frozen=True)
class ScGPTTokenizerConfig(BinsConfig):
    """How counts become bins; further settings as in `BinsConfig`.

    Attributes
    ----------
    max_length
        Longest cell, in genes: scGPT's 1,200 without ``<cls>``. Of longer cells a random sample
        is kept.
    ties
        As in `BinsConfig`, at random here.
    logged
        Bin log-normalised values, as scGPT's fine-tuning does, instead of raw counts, as its
        embedding does. The bins are the same but for the last bit of an edge.
    """

    max_length: int = 1199
    ties: Literal["middle", "random"] = "random"
    logged: bool = False


class ScGPTTokenizer(BinsTokenizer):
    """Each expressed gene becomes a token that carries its quantile bin within the cell.

    What scGPT's ``embed_data`` does (Cui et al., Nature Methods 2024): zeros are left out, what
    remains is cut at the cell's quantiles, values that fill several bins draw one of them, and of
    more than `max_length` genes a random sample is kept. The draws depend on the seed and the
    cell's contents; scGPT's depend on the order of all cells before it.
    """

    name = "scgpt"
    Config = ScGPTTokenizerConfig
    config: ScGPTTokenizerConfig

    def pack(self, rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Bin each cell's counts, then sample."""
        config = self.config
        values = quantile_bins(rows, config.bins, self.uniforms(rows), logged=config.logged)
        lengths = rows.stops - rows.starts
        offsets = offsets_of(np.minimum(lengths, config.max_length))
        cell = np.repeat(np.arange(len(lengths)), lengths)
        place = np.arange(lengths.sum()) - np.repeat(offsets_of(lengths)[:-1], lengths)
        at = np.repeat(rows.starts, lengths) + place
        if offsets[-1] < len(at):
            # another seed, so that what is kept does not hang together with how ties were broken
            drawn = uniforms_of(rows.ids, rows.counts, rows.starts, rows.stops, config.seed + 1)
            chosen = np.lexsort((drawn[at], cell))[place < config.max_length]
            at = at[np.sort(chosen)]
        return rows.ids[at], values[at], offsets
