"""In which order a corpus is seen: a pure function of seed and epoch, whatever reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

Cut = Callable[[np.ndarray, np.random.Generator], list[np.ndarray]]
"""Cuts a window, given the lengths of its cells, into minibatches of positions."""


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
    block
        Neighbouring cells that are read together; 1 shuffles fully.
    window
        Blocks that are mixed with one another.
    seed
        The same seed and epoch give the same order.
    """

    sizes: tuple[int, ...]
    weights: tuple[float, ...]
    block: int
    window: int
    seed: int

    def windows(self, epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the cells of an epoch a window at a time: number of the dataset, and row."""
        rng = np.random.default_rng([self.seed, epoch])
        origin, blocks = [], []
        for number, (size, weight) in enumerate(zip(self.sizes, self.weights, strict=True)):
            count = -(-size // self.block)
            wanted = round(weight * count)
            whole, rest = divmod(wanted, max(count, 1))
            there = np.arange(count, dtype=np.int32)
            blocks += [there] * whole + [rng.permutation(there)[:rest]]
            origin.append(np.full(wanted, number, np.int32))
        order = rng.permutation(sum(map(len, origin)))
        part, block = np.concatenate(origin)[order], np.concatenate(blocks)[order]
        sizes = np.array(self.sizes)
        for start in range(0, len(order), self.window):
            chosen = slice(start, start + self.window)
            yield self._mixed(part[chosen], block[chosen].astype(np.int64), sizes, rng)

    def _mixed(
        self, part: np.ndarray, block: np.ndarray, sizes: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        rows = block[:, None] * self.block + np.arange(self.block)
        there = rows < sizes[part][:, None]
        origin = np.broadcast_to(part[:, None], rows.shape)[there]
        shuffled = rng.permutation(len(origin))
        return origin[shuffled], rows[there][shuffled]


def by_number(size: int) -> Cut:
    """Cut into minibatches of so many cells; only the last of a window may have fewer."""

    def cut(lengths: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
        positions = np.arange(len(lengths))
        return [positions[start : start + size] for start in range(0, len(positions), size)]

    return cut


def by_tokens(budget: int, longest: int) -> Cut:
    """Cut into minibatches of cells of similar length, of so many padded tokens at most.

    Parameters
    ----------
    budget
        Padded tokens in a minibatch, at most (but at least one cell); each cell has one token
        more than its features.
    longest
        Where cells are cut.

    Returns
    -------
    A cut that leaves out cells without counts and yields minibatches in random order.
    """

    def cut(lengths: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
        lengths = np.minimum(lengths, longest)
        positions = np.argsort(-lengths, kind="stable")
        positions = positions[lengths[positions] > 0]
        found = []
        while len(positions):
            fits = max(1, int(budget // (lengths[positions[0]] + 1)))
            found.append(positions[:fits])
            positions = positions[fits:]
        return [found[i] for i in rng.permutation(len(found))]

    return cut
