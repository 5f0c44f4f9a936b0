"""Shuffled minibatches from a corpus, the same ones for the same seed on any number of machines."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from pancyte.corpus.notices import tell
from pancyte.errors import InputError, UsageError
from pancyte.store.corpus import Corpus
from pancyte.store.gather import gather, renumber, row_sums
from pancyte.store.order import Cut, Order, by_number
from pancyte.store.part import Part

Filter = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Minibatch:
    """Cells as packed rows of counts.

    Attributes
    ----------
    offsets, ids, values
        CSR arrays: int64, int32, float32. Ids are rows of the corpus's features unless the
        stream was given other columns; they rise within a cell.
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
        """Return the counts as a matrix, (cells, features)."""
        shape = (len(self), features)
        return csr_matrix((self.values, self.ids, self.offsets), shape=shape)


class Stream:
    """Minibatches of a corpus, shuffled by blocks, in bounded memory.

    An epoch holds every chosen cell once, or as often as `weights` says. Its order depends on
    seed and epoch only: each of several ranks reads its share of the same minibatches, so that a
    run may go on with another number of ranks.

    Parameters
    ----------
    corpus
        The cells.
    cut
        How windows become minibatches; 256 cells each if not given.
    seed
        Seed of the order.
    rank, world
        Which of how many processes this one is.
    block, window
        Neighbouring cells that are read together, and blocks that are mixed with one another.
        A block of 1 shuffles fully, at the price of reading every row by itself.
    weights
        How often each dataset's cells come in an epoch, 1 where not named.
    keep, without
        Columns of ``obs`` with the values whose cells are used, or left out. A dataset that lacks
        a column of `keep` is left out, and named.
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
        cut: Cut | None = None,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        block: int = 64,
        window: int = 256,
        weights: Mapping[str, float] | None = None,
        keep: Filter | None = None,
        without: Filter | None = None,
        columns: Sequence[np.ndarray] | None = None,
    ) -> None:
        if not 0 <= rank < world:
            raise UsageError(f"There is no rank {rank} among {world}.", fix="Count from 0.")
        weights = weights or {}
        names = [part.name for part in corpus.parts]
        if unknown := sorted(set(weights) - set(names)):
            raise UsageError(f"There is no dataset {unknown[0]!r}.", fix=f"There are: {names}.")
        self.corpus, self.rank, self.world = corpus, rank, world
        self._cut = cut or by_number(256)
        self._chosen = [_chosen(part, keep or {}, without or {}) for part in corpus.parts]
        sizes = [
            len(part) if rows is None else len(rows)
            for part, rows in zip(corpus.parts, self._chosen, strict=True)
        ]
        if not sum(sizes):
            raise InputError("No cell of the corpus is left after the filter.", fix="Widen it.")
        self.order = Order(
            tuple(sizes), tuple(weights.get(name, 1.0) for name in names), block, window, seed
        )
        self._columns = [_unless_identity(table) for table in columns or corpus.columns]

    def __len__(self) -> int:
        """Return how many cells are chosen, each counted once."""
        return sum(self.order.sizes)

    def epoch(self, number: int = 0, *, start: int = 0, ahead: int = 0) -> Iterator[Minibatch]:
        """Yield this rank's share of an epoch's minibatches.

        Parameters
        ----------
        number
            Which epoch.
        start
            Minibatches to pass over, without reading them: where a stopped run goes on.
        ahead
            Minibatches that a thread reads ahead; 0 reads in this one.
        """
        wanted = self._positions(number, start)
        if not ahead:
            yield from map(self._read, wanted)
            return
        with ThreadPoolExecutor(1) as reader:
            waiting: deque[Future[Minibatch]] = deque()
            for positions in wanted:
                waiting.append(reader.submit(self._read, positions))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def minibatches(self, number: int = 0) -> int:
        """Count the minibatches of an epoch."""
        return sum(1 for _ in self._positions(number, 0))

    def _positions(self, number: int, start: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        passed = 0
        for window, (parts, rows) in enumerate(self.order.windows(number)):
            rng = np.random.default_rng([self.order.seed, number, window])
            rows = self._own(parts, rows)
            for positions in self._cut(self._lengths(parts, rows), rng):
                if passed >= start:
                    mine = positions[self.rank :: self.world]
                    yield parts[mine], rows[mine]
                passed += 1

    def _own(self, parts: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Turn places among the chosen cells into rows of their datasets."""
        for number in np.unique(parts):
            if (chosen := self._chosen[number]) is not None:
                here = parts == number
                rows[here] = chosen[rows[here]]
        return rows

    def _lengths(self, parts: np.ndarray, rows: np.ndarray) -> np.ndarray:
        lengths = np.empty(len(rows), np.int64)
        for number in np.unique(parts):
            here = parts == number
            offsets, there = self.corpus.parts[number].offsets, rows[here]
            lengths[here] = offsets[there + 1] - offsets[there]
        return lengths

    def _read(self, positions: tuple[np.ndarray, np.ndarray]) -> Minibatch:
        parts, rows = positions
        lengths = self._lengths(parts, rows)
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        ids = np.empty(offsets[-1], np.int32)
        values = np.empty(offsets[-1], np.float32)
        for number in np.unique(parts):
            here = np.flatnonzero(parts == number)
            part, lookup = self.corpus.parts[number], self._columns[number]
            gather(rows[here], part.offsets, part.ids, part.values, offsets[here], ids, values)
            if lookup is not None:
                renumber(ids, offsets[here], offsets[here + 1], lookup)
        return Minibatch(offsets, ids, values, row_sums(offsets, values), parts, rows)


def _chosen(part: Part, keep: Filter, without: Filter) -> np.ndarray | None:
    """Return the rows of a dataset that a filter leaves, or None for all."""
    if not keep and not without:
        return None
    if absent := [name for name in keep if name not in part.columns]:
        tell(f"{part.name} has no column {absent[0]!r}: none of its cells are used.")
        return np.empty(0, np.int32)
    mask = np.ones(len(part), bool)
    for wanted, filters in ((True, keep), (False, without)):
        for name, values in filters.items():
            if name in part.columns:
                there = part.column(name).astype(str).isin(list(map(str, values)))
                mask &= there.to_numpy() == wanted
    return np.flatnonzero(mask).astype(np.int32)


def _unless_identity(table: np.ndarray) -> np.ndarray | None:
    return None if np.array_equal(table, np.arange(len(table))) else table.astype(np.int32)
