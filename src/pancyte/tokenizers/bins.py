"""Binned values: how a gene's expression compares with the rest of its cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pancyte.errors import UsageError
from pancyte.tokenizers.binning import quantile_bins, uniforms_of
from pancyte.tokenizers.packing import Rows
from pancyte.tokenizers.tokenizer import Tokenizer, TokenizerConfig


@dataclass(frozen=True)
class BinsConfig(TokenizerConfig):
    """How counts become bins; further settings as in `TokenizerConfig`.

    Attributes
    ----------
    bins
        Number of bins, that of zeros included: expressed genes get 1 to ``bins - 1``.
    ties
        Which bin a count gets that fills several, as 1 does in most cells: the "middle" one, or
        one drawn at "random", as in scGPT.
    seed
        Seed of the draw; with the cell's own contents it decides, not the order of cells.
    """

    bins: int = 51
    ties: Literal["middle", "random"] = "middle"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.bins < 3:
            raise UsageError(f"bins is {self.bins}.", fix="Give at least 3; scGPT has 51.")
        if self.ties not in ("middle", "random"):
            raise UsageError(f"ties is {self.ties!r}.", fix="Give 'middle' or 'random'.")
        if self.seed < 0:
            raise UsageError(f"seed is {self.seed}.", fix="Give 0 or more.")


class BinsTokenizer(Tokenizer):
    """Each expressed gene becomes a token that carries its quantile bin within the cell.

    scGPT's value binning (Cui et al., Nature Methods 2024): the cell's log-normalised non-zero
    values are cut at equally spaced quantiles, over all its known genes, before truncation.
    Bins are numbers with an order and 0 for absence, and networks read them as such, which
    scGPT calls the continuous input style; so every objective on continuous values applies.
    """

    name = "bins"
    value_kind = "continuous"
    Config = BinsConfig
    config: BinsConfig

    def pack(self, rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Bin each cell's values, then keep what stands out most."""
        values = quantile_bins(rows, self.config.bins, self.uniforms(rows))
        positions, offsets = rows.top(self.medians, self.config.max_length)
        return rows.ids[positions], values[positions], offsets

    def uniforms(self, rows: Rows) -> np.ndarray | None:
        """Draw the numbers by which ties are broken, (stored,); None for the middle bin."""
        if self.config.ties == "middle":
            return None
        return uniforms_of(rows.ids, rows.counts, rows.starts, rows.stops, self.config.seed)
