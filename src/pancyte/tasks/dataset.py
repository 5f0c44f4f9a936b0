"""What a benchmark is run on: cells, what their columns mean, and who is held out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pancyte.corpus.cells import column
from pancyte.corpus.checks import require_batches

if TYPE_CHECKING:
    from pancyte.shapes import Cells


@dataclass(frozen=True)
class Dataset:
    """Cells with the columns a task needs to know about.

    Attributes
    ----------
    cells
        The cells; what is learned is learned from some of these.
    label_key
        Column of ``obs`` with the cell types.
    batch_key
        Column with the technical batch, or None.
    split_by
        Column whose groups (donors, studies, technologies) are held out.
    held_out
        Groups to hold out together, as one fold; empty means each group in turn.
    learn_from
        With `held_out`, the groups to learn from; empty means all the others.
    query
        A second dataset with the same columns, which is asked about instead of held-out groups.
    unlabelled
        Labels that mean "not known", such as ``"unassigned"``; a missing value always does.
    title
        Name for tables; made of the cells' names if not given.
    """

    cells: Cells
    label_key: str
    batch_key: str | None = None
    split_by: str | None = None
    held_out: tuple[str, ...] = ()
    learn_from: tuple[str, ...] = ()
    query: Cells | None = None
    unlabelled: tuple[str, ...] = ()
    title: str = ""

    def __post_init__(self) -> None:
        parts = [self.cells] if self.query is None else [self.cells, self.query]
        for cells in parts:
            column(cells, self.label_key)
        if self.batch_key is not None:
            require_batches(pd.concat([cells.obs for cells in parts]), self.batch_key)
        if self.split_by is not None:
            column(self.cells, self.split_by)

    @property
    def name(self) -> str:
        """Name for tables."""
        return self.title or self.pair

    @property
    def pair(self) -> str:
        """Where is learned, and where asked if that is elsewhere."""
        return self.cells.name if self.query is None else f"{self.cells.name} → {self.query.name}"

    @cached_property
    def hashes(self) -> tuple[str, ...]:
        """Hash of the content of `cells` and, if there is one, of `query`."""
        from pancyte.corpus.canonical import content_hash, fingerprints

        if self.query is None:
            return (content_hash(self.fingerprints),)
        return content_hash(fingerprints(self.cells)), content_hash(self.fingerprints)

    @cached_property
    def fingerprints(self) -> np.ndarray:
        """Fingerprint of each cell that may be asked about, (cells,) uint64."""
        from pancyte.corpus.canonical import fingerprints

        return fingerprints(self.asked)

    @property
    def revision(self) -> str:
        """The hashes in one text, which changes if any count or gene name does."""
        return "+".join(self.hashes)

    @property
    def asked(self) -> Cells:
        """The cells queries come from."""
        return self.cells if self.query is None else self.query

    def labels(self, cells: Cells) -> np.ndarray:
        """Return the cell types of `cells` as text, ``""`` where not known."""
        given = column(cells, self.label_key)
        return np.where(np.isin(given, self.unlabelled), "", given)


@dataclass(frozen=True)
class Split:
    """Who learns and who is asked, once.

    Attributes
    ----------
    dataset
        Where the rows belong.
    reference_rows
        Rows of ``dataset.cells`` that may be learned from.
    query_rows
        Rows of ``dataset.asked`` that are scored.
    fold
        What is held out, in words.
    seed
        Seed of the method and of the reference's subsample.
    """

    dataset: Dataset
    reference_rows: np.ndarray
    query_rows: np.ndarray
    fold: str
    seed: int

    @cached_property
    def reference(self) -> Cells:
        """The cells to learn from, with their labels."""
        return self.dataset.cells.select(self.reference_rows)

    @cached_property
    def query(self) -> Cells:
        """The cells asked about, without any column but the batch."""
        cells = self.dataset.asked.select(self.query_rows)
        batch_key = self.dataset.batch_key
        return replace(cells, obs=cells.obs[[] if batch_key is None else [batch_key]])

    @cached_property
    def reference_labels(self) -> np.ndarray:
        """Cell types of the reference, (reference cells,)."""
        return self.dataset.labels(self.dataset.cells)[self.reference_rows]

    @cached_property
    def query_labels(self) -> np.ndarray:
        """Cell types of the query, (query cells,); no method sees them."""
        return self.dataset.labels(self.dataset.asked)[self.query_rows]
