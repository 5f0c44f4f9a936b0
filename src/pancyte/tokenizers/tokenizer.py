"""The tokenizer contract: counts in, (feature, value) tokens out, fitted state included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
import torch
from scipy.sparse import csr_matrix

from pancyte.corpus.genes import Match, check_overlap, match
from pancyte.errors import UsageError
from pancyte.shapes import Cells, Tokens
from pancyte.store.corpus import Corpus
from pancyte.tokenizers.alignment import AlignedTokenizer
from pancyte.tokenizers.fitting import check_table, corpus_table, feature_table
from pancyte.tokenizers.packing import Rows
from pancyte.tokenizers.vocabulary import Vocabulary


@dataclass(frozen=True)
class TokenizerConfig:
    """How counts become tokens.

    Attributes
    ----------
    features
        Keep this many most variable features of the corpus as the vocabulary; 0 keeps all.
    max_length
        Longest cell, in tokens; the features that stand out most against their corpus median
        are kept.
    target_sum
        Every cell is scaled to this total count, taken over all measured features.
    context
        Per-cell columns handed to the network with their fitted levels; level 0 is "unknown".
    """

    features: int = 0
    max_length: int = 1024
    target_sum: float = 1e4
    context: dict[str, list[str]] = field(default_factory=dict)


class Tokenizer:
    """Turns cells into tokens; owns the vocabulary and what was fitted on the corpus.

    Subclasses set `name` and `value_kind` and define `values`, or `pack` where a token's value
    depends on the rest of its cell.
    """

    name: ClassVar[str]
    value_kind: ClassVar[Literal["continuous", "rank"]]
    keeps_counts: ClassVar[bool] = False
    """Whether values are log1p(count · scale), so that counts can be had back."""
    known_total: ClassVar[bool] = False
    """Whether a cell's total is that of the vocabulary's features, not of all measured ones."""
    Config: ClassVar[type[TokenizerConfig]] = TokenizerConfig

    def __init__(
        self, config: TokenizerConfig | None = None, vocabulary: Vocabulary | None = None
    ) -> None:
        self.config = config or self.Config()
        self._vocabulary = vocabulary

    @property
    def vocabulary(self) -> Vocabulary:
        """The fitted vocabulary."""
        if self._vocabulary is None:
            raise UsageError(
                f"This {self.name} tokenizer is not fitted.", fix="Call fit(cells) first."
            )
        return self._vocabulary

    @property
    def medians(self) -> np.ndarray:
        """Each feature's median over the cells that express it, float64, (features,)."""
        return self.vocabulary.table["median"].to_numpy(np.float64)

    @property
    def usual(self) -> np.ndarray | None:
        """Each feature's usual value over all cells, also those without it; None if unknown."""
        return None

    def fit(self, *sets: Cells) -> Self:
        """Learn the vocabulary and each feature's non-zero median from a corpus of cells."""
        config = self.config
        return self.fit_table(
            feature_table(sets, target_sum=config.target_sum, features=config.features)
        )

    def fit_corpus(
        self, corpus: Corpus, *, rows: Sequence[np.ndarray | None] | None = None
    ) -> Self:
        """Learn the same from a corpus that need not fit in memory; see `corpus_table`."""
        config = self.config
        return self.fit_table(
            corpus_table(corpus, target_sum=config.target_sum, features=config.features, rows=rows)
        )

    def fit_table(self, table: pd.DataFrame) -> Self:
        """Take over what was learned elsewhere, e.g. from a corpus too large for memory.

        Parameters
        ----------
        table
            One row per feature of the vocabulary, in the order of the ids, as `feature_table`
            makes it: index of unique names; ``median`` over the cells that express the feature, of
            counts scaled to `target_sum`; ``symbol``, ``ensembl_id``, ``detection`` where known.

        Raises
        ------
        InputError
            If a name repeats, medians are missing or not positive, or `features` is exceeded.
        """
        check_table(table, self.config.features)
        self._vocabulary = Vocabulary(table)
        return self

    def __call__(self, cells: Cells) -> Tokens:
        """Tokenise cells, in their order; a cell without known features gets no tokens."""
        found = self.matched(cells.features)
        check_overlap(found, cells, self.vocabulary.table)
        counts, aligned = cells.counts, AlignedTokenizer(self, found.columns)
        context = self.codes(cells.context, len(cells))
        return aligned(counts.indptr, counts.indices, counts.data, context=context)

    def matched(self, features: pd.DataFrame) -> Match:
        """Find each feature of a source in the vocabulary."""
        return match(features, self.vocabulary.table)

    def aligned(self, features: pd.DataFrame, *, name: str = "the source") -> AlignedTokenizer:
        """Match a source's features once, to tokenise many minibatches of it as CSR arrays.

        Parameters
        ----------
        features
            One row per column of the counts to come, as in `Cells`.
        name
            What to call the source in messages.

        Raises
        ------
        InputError
            If too few of the features are in the vocabulary.

        Examples
        --------
        >>> tokenise = tokenizer.aligned(cells.features)
        >>> tokens = tokenise(counts.indptr, counts.indices, counts.data)
        """
        found = self.matched(features)
        empty = csr_matrix(np.empty((0, len(features)), np.float32))
        check_overlap(
            found, Cells(empty, features, pd.DataFrame(index=[]), name=name), self.vocabulary.table
        )
        return AlignedTokenizer(self, found.columns)

    def pack(self, rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Turn raw counts under the vocabulary's ids into ids, values and offsets of tokens."""
        positions, offsets = rows.top(self.medians, self.config.max_length)
        normalised = rows.counts[positions] * np.repeat(rows.scale, np.diff(offsets))
        return rows.ids[positions], self.values(normalised, offsets), offsets

    def values(self, normalised: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Turn the kept, depth-normalised counts into token values. Shapes (tokens,)."""
        raise NotImplementedError(f"{type(self).__name__} defines neither values nor pack.")

    def codes(self, context: pd.DataFrame, cells: int) -> dict[str, torch.Tensor]:
        """Turn per-cell columns into the codes of their fitted levels; 0 is "unknown".

        Parameters
        ----------
        context
            One row per cell; columns that are missing are unknown.
        cells
            Number of cells.

        Returns
        -------
        For each fitted column int64 codes, (cells,).
        """
        codes = {}
        for name, levels in self.config.context.items():
            given = context[name] if name in context else pd.Series(["unknown"] * cells)
            known = pd.Categorical(given, categories=levels).codes
            codes[name] = torch.from_numpy(known.astype(np.int64) + 1)
        return codes

    def as_dict(self) -> dict[str, Any]:
        """Name and settings, for ``config.json``."""
        return {"name": self.name, "config": asdict(self.config)}
