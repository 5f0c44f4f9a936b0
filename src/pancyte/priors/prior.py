"""The contract of a prior: a vector for each gene, from wherever knowledge of genes comes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pancyte import registry
from pancyte.errors import InputError, UsageError
from pancyte.priors.table import PriorTable
from pancyte.store.corpus import Corpus
from pancyte.tokenizers.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True)
class PriorConfig:
    """What every prior may be told.

    Attributes
    ----------
    dims
        Length of the vectors.
    shuffled
        A seed by which the vectors are dealt out to other genes: the control that shows whether
        what a prior says of genes matters, or only that there is one.
    """

    fewest: ClassVar[int] = 1
    """Least length of the vectors that may be asked for."""

    dims: int = 64
    shuffled: int | None = None

    def __post_init__(self) -> None:
        if self.dims < self.fewest:
            raise UsageError(
                f"dims is {self.dims}, but a prior's vectors need a length.",
                fix=f"Set dims to {self.fewest} or more.",
            )


class Prior(ABC):
    """Something that knows genes: subclasses set `name`, take their `Config`, define `table`."""

    name: ClassVar[str]
    Config: ClassVar[type[PriorConfig]] = PriorConfig

    def __init__(self, config: Any = None) -> None:
        self.config: Any = config or self.Config()

    @property
    def unit(self) -> bool:
        """Whether each vector has length 1; otherwise they have it on average."""
        return True

    @abstractmethod
    def table(self, corpus: Corpus, rows: Sequence[np.ndarray | None] | None = None) -> PriorTable:
        """Return the vectors, as far as possible also for genes that `corpus` does not have.

        Parameters
        ----------
        corpus
            The cells a model is to be trained on.
        rows
            For each dataset the rows that may be learned from, or None for all.
        """


def fit_priors(
    given: Sequence[dict[str, Any]],
    corpus: Corpus,
    vocabulary: Vocabulary,
    *,
    rows: Sequence[np.ndarray | None] | None = None,
) -> PriorTable:
    """Compute priors and put their vectors side by side.

    Parameters
    ----------
    given
        For each the registered ``name`` and, under ``config``, its settings.
    corpus, rows
        As `Prior.table` takes them.
    vocabulary
        The genes of the model; shuffling keeps them apart from all others.

    Raises
    ------
    InputError
        If a prior knows none of the vocabulary's genes.
    """
    tables = []
    for part in given:
        kind = registry.get("priors", part["name"])
        prior = kind(registry.settings_of(kind, part.get("config", {})))
        table = prior.table(corpus, rows)
        if not table.coverage(vocabulary.table):
            mine, theirs = (
                ", ".join(repr(str(name)) for name in names[:2])
                for names in (table.genes.index, vocabulary.table.index)
            )
            raise InputError(
                f"The prior {prior.name!r} knows none of the {len(vocabulary):,} genes: its own "
                f"are called {mine} …, the vocabulary's {theirs} ….",
                fix="Give vectors of this species' genes, under symbols or Ensembl ids.",
            )
        if prior.config.shuffled is not None:
            table = table.shuffled(prior.config.shuffled, vocabulary.table)
        tables.append(table)
    return PriorTable.joined(tables)
