"""scFoundation's values: log-normalised counts, normalised by the genes it knows."""

from __future__ import annotations

from pancyte.tokenizers.continuous import ContinuousTokenizer


class ScFoundationTokenizer(ContinuousTokenizer):
    """Each expressed gene becomes a token that carries log1p(count / total · 10⁴).

    As scFoundation's published code (Hao et al., Nature Methods 2024), which looks up its 19,264
    genes first: the total is taken over these.
    """

    name = "scfoundation"
    known_total = True
