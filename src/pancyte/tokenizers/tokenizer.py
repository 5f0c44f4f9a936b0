"""The tokenizer contract: counts in, (feature, value) tokens out, fitted state included."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
import torch
from scipy.sparse import csr_matrix, vstack

from pancyte.errors import InputError, UsageError
from pancyte.shapes import Cells, Tokens
from pancyte.tokenizers.packing import nonzero_medians, top_positions
from pancyte.tokenizers.variable import most_variable
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


class Tokenizer(ABC):
    """Turns cells into tokens; owns the vocabulary and what was fitted on the corpus.

    Subclasses set `name` and `value_kind` and define `values`.
    """

    name: ClassVar[str]
    value_kind: ClassVar[Literal["continuous", "rank"]]
    Config = TokenizerConfig

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

    def fit(self, *sets: Cells) -> Self:
        """Learn the vocabulary and each feature's non-zero median from a corpus of cells."""
        if not sets or not sum(map(len, sets)):
            raise InputError("There are no cells to fit a tokenizer on.", fix="Give some.")
        vocabulary = Vocabulary.union(sets)
        corpus = vstack([self._normalise(cells, vocabulary)[0] for cells in sets], format="csr")
        table = vocabulary.table.assign(
            median=nonzero_medians(corpus),
            detection=corpus.getnnz(axis=0) / corpus.shape[0],
        )
        if 0 < self.config.features < len(table):
            origin = np.repeat(np.arange(len(sets)), [len(cells) for cells in sets])
            table = table[most_variable(corpus, origin, self.config.features)]
        self._vocabulary = Vocabulary(table)
        return self

    def __call__(self, cells: Cells) -> Tokens:
        """Tokenise cells, in their order; a cell without known features gets no tokens."""
        normalised, _ = self._normalise(cells, self.vocabulary)
        medians = self.vocabulary.table["median"].to_numpy(np.float64)
        ratio = normalised.data / medians[normalised.indices]
        positions, offsets = top_positions(
            normalised.indptr,
            ratio.astype(np.float32),
            self.config.max_length,
            by_rank=self.value_kind == "rank",
        )
        values = self.values(normalised.data[positions], offsets)
        return Tokens(
            torch.from_numpy(normalised.indices[positions].astype(np.int32)),
            torch.from_numpy(values.astype(np.float32)),
            torch.from_numpy(offsets),
            self._codes(cells.context, len(cells)),
        )

    @abstractmethod
    def values(self, normalised: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Turn the kept, depth-normalised counts into token values. Shapes (tokens,)."""

    def _normalise(self, cells: Cells, vocabulary: Vocabulary) -> tuple[csr_matrix, np.ndarray]:
        totals = np.asarray(cells.counts.sum(axis=1), dtype=np.float64).ravel()
        aligned, _ = vocabulary.align(cells)
        scale = self.config.target_sum / np.where(totals > 0, totals, 1.0)
        data = aligned.data * np.repeat(scale, np.diff(aligned.indptr))
        return csr_matrix((data, aligned.indices, aligned.indptr), shape=aligned.shape), totals

    def _codes(self, context: pd.DataFrame, cells: int) -> dict[str, torch.Tensor]:
        codes = {}
        for name, levels in self.config.context.items():
            given = context[name] if name in context else pd.Series(["unknown"] * cells)
            known = pd.Categorical(given, categories=levels).codes
            codes[name] = torch.from_numpy(known.astype(np.int64) + 1)
        return codes

    def as_dict(self) -> dict[str, Any]:
        """Name and settings, for ``config.json``."""
        return {"name": self.name, "config": asdict(self.config)}
