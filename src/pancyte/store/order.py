"""In which order a corpus is seen: a pure function of seed and epoch, whatever reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

Cut = Callable[[np.ndarray, np.ndarray, tuple[int, int, int]], list[np.ndarray]]
"""Cuts a window, given dataset and row of each cell and a seed, into each minibatch's positions."""


LISTED = 256
"""Blocks whose cells are listed together."""


@dataclass(frozen=True)
class Shuffle:
    """How well cells are mixed, and at what price.

    Attributes
    ----------
    seed
        Seed of the order.
    block
        Neighbouring cells that are read together; 1 shuffles fully, but reads every row by itself.
    window
        Blocks that are mixed with one another.
    """

    seed: int = 0
    block: int = 64
    window: int = 256


@dataclass(frozen=True)
class Order:
    """A shuffle by blocks: blocks of neighbours in random order, mixed within windows of blocks.

    Each cell comes once in an epoch, or as often as its dataset's weight says: a weight of 2.5
    means every block twice and half of the blocks, other ones each epoch, a third time.

    Attributes
    ----------
    sizes
        Cells of each dataset.
    weights
        How often each dataset's cells come in an epoch.
    shuffle
        How they are mixed.
    """

    sizes: tuple[int, ...]
    weights: tuple[float, ...]
    shuffle: Shuffle

    def windows(self, epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the cells of an epoch a window at a time: number of the dataset, and row."""
        block, window = self.shuffle.block, self.shuffle.window
        rng = np.random.default_rng([self.shuffle.seed, epoch])
        origin, blocks = [], []
        for number, (size, weight) in enumerate(zip(self.sizes, self.weights, strict=True)):
            count = -(-size // block)
            wanted = round(weight * count)
            whole, rest = divmod(wanted, max(count, 1))
            there = np.arange(count, dtype=np.int32)
            blocks += [there] * whole + [rng.permutation(there)[:rest]]
            origin.append(np.full(wanted, number, np.int32))
        order = rng.permutation(sum(map(len, origin)))
        parts, numbers = np.concatenate(origin)[order], np.concatenate(blocks)[order]
        # small windows are listed many at once: a handful of cells costs what thousands do
        reach = window * max(1, LISTED // window)
        for start in range(0, len(order), reach):
            chosen = slice(start, start + reach)
            yield from self._mixed(parts[chosen], numbers[chosen].astype(np.int64), rng)

    def _mixed(
        self, parts: np.ndarray, numbers: np.ndarray, rng: np.random.Generator
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """List the cells of some blocks, the last of a dataset being shorter, window by window."""
        rows = numbers[:, None] * self.shuffle.block + np.arange(self.shuffle.block)
        there = rows < np.array(self.sizes)[parts][:, None]
        lengths = there.sum(axis=1)
        window = np.arange(len(parts)) // self.shuffle.window
        shuffled = np.argsort(np.repeat(window, lengths) + rng.random(lengths.sum()))
        origin, rows = np.repeat(parts, lengths)[shuffled], rows[there][shuffled]
        ends = np.cumsum(np.bincount(window, lengths)).astype(np.int64).tolist()
        for low, high in zip([0, *ends[:-1]], ends, strict=True):
            yield origin[low:high], rows[low:high]


def by_number(size: int) -> Cut:
    """Cut into minibatches of so many cells; only the last of a window may have fewer.

    Which cells are in a minibatch is left to chance; within it they stand in the order of the
    files, as neighbours are read fastest one after the other.
    """

    def cut(parts: np.ndarray, rows: np.ndarray, seed: tuple[int, int, int]) -> list[np.ndarray]:
        places = parts.astype(np.int64) << 40 | rows
        starts = range(0, len(rows), size)
        return [start + np.argsort(places[start : start + size]) for start in starts]

    return cut


def by_tokens(lengths: Sequence[np.ndarray], budget: int) -> Cut:
    """Cut into minibatches of cells of similar length, of so many padded tokens at most.

    Parameters
    ----------
    lengths
        For each dataset the tokens of its cells.
    budget
        Padded tokens in a minibatch, at most (but at least one cell); a cell takes one more than
        its length.

    Returns
    -------
    A cut that leaves out cells without tokens and yields minibatches in random order.
    """

    def cut(parts: np.ndarray, rows: np.ndarray, seed: tuple[int, int, int]) -> list[np.ndarray]:
        long = np.empty(len(rows), np.int64)
        for number in np.unique(parts):
            here = parts == number
            long[here] = lengths[number][rows[here]]
        positions = np.argsort(-long, kind="stable")
        positions = positions[long[positions] > 0]
        found = []
        while len(positions):
            fits = max(1, int(budget // (long[positions[0]] + 1)))
            found.append(positions[:fits])
            positions = positions[fits:]
        return [found[i] for i in np.random.default_rng(seed).permutation(len(found))]

    return cut
