"""scBERT's bins: whole powers of two, normalised by the genes it knows."""

from __future__ import annotations

from pancyte.tokenizers.log2 import Log2Tokenizer


class ScBERTTokenizer(Log2Tokenizer):
    """Each expressed gene becomes a token that carries ⌊log2(1 + count / total · 10⁴)⌋, at most 5.

    As scBERT's published code (Yang et al., Nature Machine Intelligence 2022), which looks up its
    16,906 genes first: the total is taken over these. The network reads the other genes as bin 0.
    """

    name = "scbert"
    known_total = True
