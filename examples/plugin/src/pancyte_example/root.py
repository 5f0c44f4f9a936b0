"""A variance-stabilising tokenizer."""

import numpy as np

from pancyte.tokenizers.tokenizer import Tokenizer


class RootTokenizer(Tokenizer):
    """Each expressed gene becomes a token with its Freeman–Tukey root, √x + √(x + 1) − 1.

    The transform makes the spread of Poisson counts nearly independent of their mean (Freeman and
    Tukey, Annals of Mathematical Statistics 1950); less one, it is zero at zero.
    """

    name = "root"
    value_kind = "continuous"

    def values(self, normalised: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Return the root of the normalised counts."""
        return np.sqrt(normalised) + np.sqrt(normalised + 1) - 1
