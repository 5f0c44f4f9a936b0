"""Shuffled minibatches from a corpus, the same ones for the same seed on any number of machines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from pancyte.corpus.notices import tell
from pancyte.errors import InputError, UsageError
from pancyte.store.corpus import Corpus
from pancyte.store.gather import gather, renumber, sort_rows, sum_width
from pancyte.store.order import Cut, Order, Shuffle, by_number
from pancyte.store.part import Part

Filter = Mapping[str, Sequence[str]]
DATASET = "dataset"


@dataclass(frozen=True)
class Minibatch:
    """Cells as packed rows of counts.

    Attributes
    ----------
    offsets, ids, values
        CSR arrays: int64, and the narrowest types that hold the ids and counts of the corpus. Ids
        are rows of the corpus's features unless the stream was given other columns; they rise
        within a cell.
    totals
        Each cell's total count over all features measured in it, (cells,) float64.
    parts, rows
        Where each cell comes from, (cells,): number of the dataset, and row in it.
    """

    offsets: np.ndarray
    ids: np.ndarray
    values: np.ndarray
    totals: np.ndarray
    parts: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def counts(self, features: int) -> csr_matrix:
        """Return the counts as a float32 matrix, (cells, features)."""
        values, ids = self.values.astype(np.float32), self.ids.astype(np.int32)
        return csr_matrix((values, ids, self.offsets), shape=(len(self), features))


class Stream:
    """Minibatches of a corpus, shuffled by blocks, in bounded memory.

    An epoch holds every chosen cell once, or as often as `weights` says. Its order depends on
    seed and epoch only: each of several ranks reads its share of the same minibatches, so that a
    run may go on with another number of ranks.

    Parameters
    ----------
    corpus
        The cells.
    rows
        For each dataset the rows to use, rising, or None for all; see `select`.
    weights
        How often each dataset's cells come in an epoch, 1 where not named.
    cut
        How windows become minibatches; 256 cells each if not given.
    shuffle
        How well cells are mixed.
    share
        Which of how many processes this one is: ``(rank, world size)``.
    columns
        For each dataset, what stands for each of its features, instead of its row among the
        corpus's features.

    Raises
    ------
    InputError
        If no cell is chosen.
    UsageError
        If a weight names no dataset, or rank and world make no sense.
    """

    def __init__(
        self,
        corpus: Corpus,
        *,
        rows: Sequence[np.ndarray | None] | None = None,
        weights: Mapping[str, float] | None = None,
        cut: Cut | None = None,
        shuffle: Shuffle | None = None,
        share: tuple[int, int] = (0, 1),
        columns: Sequence[np.ndarray] | None = None,
    ) -> None:
        self.rank, self.world = share
        if not 0 <= self.rank < self.world:
            raise UsageError(
                f"There is no rank {self.rank} among {self.world}.", fix="Count from 0."
            )
        weights = weights or {}
        names = [part.name for part in corpus.parts]
        if unknown := sorted(set(weights) - set(names)):
            raise UsageError(f"There is no dataset {unknown[0]!r}.", fix=f"There are: {names}.")
        self.corpus = corpus
        self._cut = cut or by_number(256)
        self._chosen = list(rows) if rows is not None else [None] * len(corpus.parts)
        sizes = [
            len(part) if rows is None else len(rows)
            for part, rows in zip(corpus.parts, self._chosen, strict=True)
        ]
        if not sum(sizes):
            raise InputError("No cell of the corpus is chosen.", fix="Widen the filter.")
        often = tuple(weights.get(name, 1.0) for name in names)
        self.order = Order(tuple(sizes), often, shuffle or Shuffle())
        columns = columns or corpus.columns
        highest = max((int(table.max()) for table in columns if len(table)), default=0)
        kinds = [part.ids.dtype for part in corpus.parts]
        self._ids = np.result_type(np.uint16 if highest < 1 << 16 else np.int32, *kinds)
        self._values = np.result_type(*(part.values.dtype for part in corpus.parts))
        self._columns = [_unless_identity(table) for table in columns]

    def __len__(self) -> int:
        """Return how many cells are chosen, each counted once."""
        return sum(self.order.sizes)

    def epoch(self, number: int = 0, *, start: int = 0) -> Iterator[Minibatch]:
        """Yield this rank's share of an epoch's minibatches.

        Parameters
        ----------
        number
            Which epoch.
        start
            Minibatches to pass over, without reading them: where a stopped run goes on.
        """
        for parts, rows in self.places(number, start=start):
            yield self.read(parts, rows)

    def places(self, number: int = 0, *, start: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Say where the cells of each minibatch are, without reading them: dataset and row."""
        passed = 0
        for window, (parts, rows) in enumerate(self.order.windows(number)):
            rows = self._own(parts, rows)
            for positions in self._cut(parts, rows, (self.order.shuffle.seed, number, window)):
                if passed >= start:
                    mine = positions[self.rank :: self.world]
                    yield parts[mine], rows[mine]
                passed += 1

    def _own(self, parts: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Turn places among the chosen cells into rows of their datasets."""
        if all(chosen is None for chosen in self._chosen):
            return rows
        for number in np.unique(parts):
            if (chosen := self._chosen[number]) is not None:
                here = parts == number
                rows[here] = chosen[rows[here]]
        return rows

    def read(self, parts: np.ndarray, rows: np.ndarray) -> Minibatch:
        """Read cells into one minibatch, in the order given; several threads may do so."""
        groups = _by_part(parts)
        offsets = np.zeros(len(rows) + 1, np.int64)
        for number, here in groups:
            there = self.corpus.parts[number].offsets
            offsets[1:][here] = there[rows[here] + 1] - there[rows[here]]
        np.cumsum(offsets, out=offsets)
        ids = np.empty(offsets[-1], self._ids)
        values = np.empty(offsets[-1], self._values)
        totals, width = np.empty(len(rows), np.float64), sum_width(self._values)
        for number, here in groups:
            part, lookup = self.corpus.parts[number], self._columns[number]
            starts = offsets[:-1][here]
            stored = part.offsets, part.ids, part.values
            totals[here] = gather(rows[here], *stored, starts, ids, values, width)
            if lookup is not None:
                stops = offsets[1:][here]
                renumber(ids, starts, stops, lookup)
                if not (lookup[1:] > lookup[:-1]).all():
                    sort_rows(ids, values, starts, stops)
        return Minibatch(offsets, ids, values, totals, parts, rows)


def _by_part(parts: np.ndarray) -> list[tuple[int, np.ndarray | slice]]:
    """Say which positions belong to each dataset; a slice, without copies, if it is one."""
    if len(parts) and (parts == parts[0]).all():
        return [(int(parts[0]), slice(None))]
    return [(int(number), np.flatnonzero(parts == number)) for number in np.unique(parts)]


def select(
    corpus: Corpus, *, keep: Filter | None = None, without: Filter | None = None
) -> list[np.ndarray | None]:
    """Choose cells by what ``obs`` says of them.

    Parameters
    ----------
    corpus
        The cells.
    keep, without
        Columns of ``obs`` with the values whose cells are used, or left out; ``dataset`` is the
        dataset's name. A dataset that lacks a column of `keep` is left out, and named.

    Returns
    -------
    For each dataset the rows to use, int32, or None for all of them.
    """
    return [_chosen(part, keep or {}, without or {}) for part in corpus.parts]


def _chosen(part: Part, keep: Filter, without: Filter) -> np.ndarray | None:
    mask = np.ones(len(part), bool)
    for wanted, filters in ((True, keep), (False, without)):
        for name, values in filters.items():
            if name == DATASET:
                mask &= (part.name in values) == wanted
            elif name in part.columns:
                there = part.column(name).astype(str).isin(list(map(str, values)))
                mask &= there.to_numpy() == wanted
            elif wanted:
                tell(f"{part.name} has no column {name!r}: none of its cells are used.")
                mask[:] = False
    return None if mask.all() else np.flatnonzero(mask).astype(np.int32)


def _unless_identity(table: np.ndarray) -> np.ndarray | None:
    return None if np.array_equal(table, np.arange(len(table))) else table.astype(np.int32)
