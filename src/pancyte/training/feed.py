"""Training cells as tokens, a minibatch at a time, read and tokenised while the network works."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch

from pancyte.errors import InputError
from pancyte.shapes import Tokens
from pancyte.store.gather import count_known
from pancyte.store.order import Shuffle, by_tokens
from pancyte.store.part import Part
from pancyte.store.stream import DATASET, Stream
from pancyte.tokenizers.tokenizer import Tokenizer
from pancyte.training.pick import Pick

AHEAD = 2
"""Minibatches that are made ready before they are asked for."""
SPECIES = "species"


@dataclass(frozen=True)
class Fed:
    """A minibatch, and where its cells come from.

    Attributes
    ----------
    tokens
        What the network reads.
    parts, rows
        Dataset and row of each cell.
    """

    tokens: Tokens
    parts: np.ndarray
    rows: np.ndarray


class Feed:
    """An endless supply of minibatches whose order is a function of the seed.

    Parameters
    ----------
    pick
        The cells.
    tokenizer
        Fitted.
    budget
        Padded tokens in a minibatch, at most.
    seed
        Seed of the order.

    Raises
    ------
    InputError
        If no cell has a feature that the tokenizer knows.
    """

    def __init__(self, pick: Pick, tokenizer: Tokenizer, *, budget: int, seed: int = 0) -> None:
        self.pick = pick
        corpus = pick.corpus
        self._tokenise = tokenizer.aligned(corpus.features, name="the corpus")
        self.lengths = [
            np.minimum(
                count_known(part.offsets, part.ids, self._tokenise.columns[columns] >= 0),
                tokenizer.config.max_length,
            )
            for part, columns in zip(corpus.parts, corpus.columns, strict=True)
        ]
        if not self.tokens:
            raise InputError("No training cell has a known gene.", fix="Check the gene names.")
        self._stream = Stream(
            corpus,
            rows=pick.rows,
            weights=pick.weights,
            cut=by_tokens(self.lengths, budget),
            shuffle=Shuffle(seed),
        )
        self._codes = [_codes(part, tokenizer) for part in corpus.parts]

    @property
    def tokens(self) -> int:
        """Tokens of all cells, each counted once."""
        rows = map(self.pick.of, range(len(self.lengths)))
        return sum(int(long[chosen].sum()) for long, chosen in zip(self.lengths, rows, strict=True))

    def minibatches(
        self, done: int = 0, *, shares: int = 1, own: Sequence[int] = (0,)
    ) -> Generator[list[Fed], None, None]:
        """Yield minibatches without end, passing over those that a stopped run has seen.

        Parameters
        ----------
        done
            How many to pass over.
        shares
            Into how many shares each is divided.
        own
            Which of them are wanted.
        """

        def read(parts: np.ndarray, rows: np.ndarray) -> list[Fed]:
            # with fewer cells than shares, the first stands in where there is none
            places = [np.arange(share, len(rows), shares) for share in own]
            return [
                self._read(parts[at], rows[at]) if len(at) else self._read(parts[:1], rows[:1])
                for at in places
            ]

        with ThreadPoolExecutor(1) as reader:
            waiting: deque[Future[list[Fed]]] = deque()
            for parts, rows in self._places(done):
                waiting.append(reader.submit(read, parts, rows))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result()

    def sample(self, cells: int) -> Tokens:
        """Return some cells as one packed set: those of the first minibatches."""
        found, total = [], 0
        for parts, rows in self._stream.places():
            found.append(self._read(parts, rows).tokens)
            total += len(found[-1])
            if total >= cells:
                break
        return Tokens.join(found)

    def sizes(self, number: int) -> list[np.ndarray]:
        """Return the lengths of the cells in each of the first minibatches."""
        return [
            np.array([self.lengths[part][row] for part, row in zip(parts, rows, strict=True)])
            for _, (parts, rows) in zip(range(number), self._places(0), strict=False)
        ]

    def first(self) -> Tokens:
        """Return the first minibatch."""
        return self._read(*next(self._places(0))).tokens

    def named(self, fed: Fed, chosen: np.ndarray | None = None, most: int = 3) -> str:
        """Say which cells a minibatch begins with, or which ones certain rows of it are."""
        parts = self.pick.corpus.parts
        rows = np.arange(min(most, len(fed.rows))) if chosen is None else chosen
        told = ", ".join(
            f"{parts[part].names()[row]!r} of {parts[part].name}"
            for part, row in zip(fed.parts[rows[:most]], fed.rows[rows[:most]], strict=True)
        )
        more = len(rows) - most
        return f"{told} and {more} more" if more > 0 else told

    def _places(self, done: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        epoch = 0
        while True:
            for places in self._stream.places(epoch):
                if done:
                    done -= 1
                else:
                    yield places
            epoch += 1

    def _read(self, parts: np.ndarray, rows: np.ndarray) -> Fed:
        read = self._stream.read(parts, rows)
        # an adversary may ask for the dataset, also where the network is not told
        context = {DATASET: torch.from_numpy(parts.astype(np.int64) + 1)}
        for name in self._codes[0]:
            codes = np.empty(len(parts), np.int64)
            for number in np.unique(parts):
                here = parts == number
                given = self._codes[number][name]
                codes[here] = given[rows[here]] if len(given) > 1 else given[0]
            context[name] = torch.from_numpy(codes)
        tokens = self._tokenise(
            read.offsets, read.ids, read.values, totals=read.totals, context=context
        )
        return Fed(tokens, parts, rows)


def _codes(part: Part, tokenizer: Tokenizer) -> dict[str, np.ndarray]:
    """Return each context column's codes for a dataset: one per cell, or one for all."""
    found = {}
    of_all = {DATASET: part.name, SPECIES: part.about["species"]}
    encode = partial(tokenizer.codes, cells=1)
    for name in tokenizer.config.context:
        if name in part.columns and name not in of_all:
            column = part.column(name).astype(str)
            codes = tokenizer.codes(pd.DataFrame({name: column}), len(part))
        else:
            codes = encode(pd.DataFrame({name: [of_all.get(name, "unknown")]}))
        found[name] = codes[name].numpy()
    return found
