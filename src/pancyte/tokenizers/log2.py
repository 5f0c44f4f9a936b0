"""Whole powers of two: on which step of doubling expression a gene stands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pancyte.errors import UsageError
from pancyte.tokenizers.tokenizer import Tokenizer, TokenizerConfig


@dataclass(frozen=True)
class Log2Config(TokenizerConfig):
    """How counts become steps; further settings as in `TokenizerConfig`.

    Attributes
    ----------
    highest
        The last step; what is above belongs to it.
    """

    highest: int = 5

    def __post_init__(self) -> None:
        if self.highest < 1:
            raise UsageError(f"highest is {self.highest}.", fix="Give at least 1; scBERT has 5.")


class Log2Tokenizer(Tokenizer):
    """Each expressed gene becomes a token that carries ⌊log2(1 + count / total · target_sum)⌋.

    The expression bins of scBERT (Yang et al., Nature Machine Intelligence 2022): bin 0 is below
    one count in the normalised cell, each further one twice as much, bin 5 is open. scBERT reads
    the genes that are not expressed as tokens of bin 0 too; here they are left out.
    """

    name = "log2"
    value_kind = "continuous"
    Config = Log2Config
    config: Log2Config

    def values(self, normalised: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Return the bins, from 0 to `highest`."""
        # frexp is exact where a logarithm's last digit could fall short of a whole number
        exponent = np.frexp(1.0 + normalised)[1] - 1
        return np.minimum(exponent, self.config.highest).astype(np.float32)
