"""The cells of a sweep: one pool that every run takes its part of, and what all are asked about."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pancyte import registry
from pancyte.benchmark.suite import selected
from pancyte.corpus.canonical import content_hash
from pancyte.corpus.sources import Source, load_cells
from pancyte.corpus.splits import stratified_subsample
from pancyte.errors import InputError
from pancyte.scaling.plan import ALL, Scale
from pancyte.shapes import Tokens
from pancyte.store.corpus import Corpus
from pancyte.tasks.dataset import Dataset
from pancyte.tasks.task import Task
from pancyte.tokenizers.tokenizer import Tokenizer
from pancyte.training.feed import Feed
from pancyte.training.pick import Pick, collect

if TYPE_CHECKING:
    from pancyte.shapes import Cells


@dataclass(frozen=True)
class Pool:
    """What all runs of a sweep share, so that their losses can be compared.

    Attributes
    ----------
    sources
        The training cells of each source of the base run.
    orthologs
        Whether mouse genes are read as human ones.
    tokenizer
        Fitted once, on all training cells: every run has the same vocabulary and is asked the
        same questions.
    held_out
        Tokens of each dataset that losses are measured on.
    questions
        What models are asked without training: tasks and labelled cells.
    """

    sources: tuple[Pick, ...]
    orthologs: bool
    tokenizer: Tokenizer
    held_out: dict[str, Tokens]
    questions: tuple[tuple[Task, Dataset], ...]

    @classmethod
    def open(cls, scale: Scale, folder: Path = Path()) -> Pool:
        """Read everything that a sweep needs; the datasets that are asked about lie in `folder`."""
        base = scale.base
        sources = tuple(collect([source], orthologs=base.orthologs) for source in base.train)
        whole = _joined(sources, orthologs=base.orthologs)
        kind = registry.get("tokenizers", base.tokenizer.name)
        tokenizer = kind(registry.settings_of(kind, base.tokenizer.config))
        tokenizer.fit_corpus(whole.corpus, rows=whole.rows)
        return cls(
            sources,
            base.orthologs,
            tokenizer,
            {
                Path(source.source).stem: _tokens(source, scale, tokenizer)
                for source in base.held_out
            },
            tuple(_questions(scale, folder)),
        )

    def __len__(self) -> int:
        return sum(map(len, self.sources))

    @cached_property
    def identity(self) -> str:
        """Hash of all training cells."""
        parts = [
            part.hashes()[pick.of(number)]
            for pick in self.sources
            for number, part in enumerate(pick.corpus.parts)
        ]
        return content_hash(np.concatenate(parts))

    def subset(self, cells: int, *, sources: int = ALL, seed: int = 0) -> Pick:
        """Draw so many cells at random; with one seed, fewer cells are a part of more.

        Parameters
        ----------
        cells
            How many.
        sources
            From so many of the sources only, the first ones; 0 means all.
        seed
            Seed of the draw.

        Raises
        ------
        InputError
            If there are not so many.
        """
        whole = _joined(self.sources[: sources or None], orthologs=self.orthologs)
        if cells > len(whole):
            raise InputError(
                f"{cells:,} cells are wanted of {len(whole):,}.",
                fix="Give more sources, or fewer cells.",
            )
        sizes = [len(whole.of(number)) for number in range(len(whole.corpus.parts))]
        drawn = np.random.default_rng(seed).permutation(sum(sizes))[:cells]
        bounds = np.concatenate([[0], np.cumsum(sizes)])
        rows = [
            np.sort(whole.of(number)[drawn[(drawn >= start) & (drawn < stop)] - start])
            for number, (start, stop) in enumerate(itertools.pairwise(bounds))
        ]
        kept = [number for number, chosen in enumerate(rows) if len(chosen)]
        parts = [whole.corpus.parts[number] for number in kept]
        return Pick(Corpus(parts, orthologs=self.orthologs), [rows[number] for number in kept])


def _joined(picks: tuple[Pick, ...], *, orthologs: bool) -> Pick:
    parts = [part for pick in picks for part in pick.corpus.parts]
    rows = [part for pick in picks for part in pick.rows]
    return Pick(Corpus(parts, orthologs=orthologs), rows)


def _tokens(source: Source, scale: Scale, tokenizer: Tokenizer) -> Tokens:
    run = scale.base
    pick = collect([source], orthologs=run.orthologs)
    feed = Feed(pick, tokenizer, budget=run.loop.tokens_per_step, seed=0)
    return feed.sample(run.held_out_cells)


def _questions(scale: Scale, folder: Path) -> list[tuple[Task, Dataset]]:
    load = cache(lambda name: load_cells(name, folder, quiet=True))
    found = []
    for question in scale.zero_shot:
        dataset = question.dataset(lambda source: selected(load(source.source), source))
        fewer = replace(dataset, cells=_fewer(dataset.cells, dataset, scale.zero_shot_cells))
        found += [(registry.get("tasks", name)(), fewer) for name in question.tasks]
    return found


def _fewer(cells: Cells, dataset: Dataset, most: int) -> Cells:
    if len(cells) <= most:
        return cells
    return cells.select(stratified_subsample(dataset.labels(cells), most / len(cells), seed=0))
