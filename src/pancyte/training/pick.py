"""Which cells of which datasets a run is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from pancyte.corpus.sources import Source, chosen, load_cells
from pancyte.store.corpus import MANIFEST, Corpus
from pancyte.store.part import Part
from pancyte.store.stream import select


@dataclass(frozen=True)
class Pick:
    """Cells of a corpus.

    Attributes
    ----------
    corpus
        All its cells.
    rows
        For each dataset the rows that are meant, rising, or None for all.
    weights
        How often each dataset's cells come in an epoch, 1 where not named.
    """

    corpus: Corpus
    rows: Sequence[np.ndarray | None]
    weights: Mapping[str, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(len(self.of(number)) for number in range(len(self.corpus.parts)))

    def of(self, number: int) -> np.ndarray:
        """Return the rows that are meant of one dataset."""
        chosen = self.rows[number]
        return np.arange(len(self.corpus.parts[number])) if chosen is None else chosen


def collect(
    sources: Sequence[Source],
    *,
    orthologs: bool = False,
    weights: Mapping[str, float] | None = None,
) -> Pick:
    """Open corpora, and read files and datasets into memory, as one corpus.

    Parameters
    ----------
    sources
        What to open, and which cells of it.
    orthologs, weights
        As in `Run`.
    """
    parts: list[Part] = []
    rows: list[np.ndarray | None] = []
    for source in sources:
        if (Path(source.source) / MANIFEST).is_file():
            corpus = Corpus.open(source.source)
            rows += select(corpus, keep=source.keep, without=source.without)
        else:
            corpus = Corpus.of(chosen(load_cells(source.source), source))
            rows += [None]
        parts += corpus.parts
    return Pick(Corpus(parts, orthologs=orthologs), rows, weights or {})


def cut(whole: Pick, share: float, seed: int) -> tuple[Pick, Pick]:
    """Take a share of every dataset's cells aside, at least one."""
    rng = np.random.default_rng(seed)
    training: list[np.ndarray | None] = []
    validation: list[np.ndarray | None] = []
    for number in range(len(whole.corpus.parts)):
        rows = whole.of(number)
        held = np.zeros(len(rows), bool)
        held[rng.permutation(len(rows))[: max(1, int(share * len(rows)))]] = True
        training.append(rows[~held])
        validation.append(rows[held])
    return replace(whole, rows=training), Pick(whole.corpus, validation)
