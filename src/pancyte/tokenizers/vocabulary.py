"""The features a model knows, in the order of their ids, with what was learned about each."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from pancyte import files
from pancyte.corpus.genes import Match, check_overlap, match
from pancyte.errors import IntegrityError
from pancyte.shapes import Cells


@dataclass(frozen=True)
class Vocabulary:
    """A table with one row per feature; the row number is the feature's id.

    Attributes
    ----------
    table
        Index ``feature`` (unique names); columns ``symbol`` and ``ensembl_id`` where known, and
        fitted statistics such as ``median``.
    """

    table: pd.DataFrame

    def __len__(self) -> int:
        return len(self.table)

    @classmethod
    def union(cls, sets: Sequence[Cells]) -> Vocabulary:
        """Collect the detected features of several sets of cells, in order of appearance."""
        tables = []
        for cells in sets:
            detected = np.asarray(cells.counts.getnnz(axis=0)).ravel() > 0
            known = [name for name in ("symbol", "ensembl_id") if name in cells.features]
            tables.append(cells.features.loc[detected, known])
        joined = pd.concat(tables)
        joined.index = joined.index.astype(str)
        table = joined.groupby(level=0, sort=False).first()
        return cls(table.rename_axis("feature"))

    def align(self, cells: Cells) -> tuple[csr_matrix, Match]:
        """Return the counts with one column per vocabulary id, and how the names were matched.

        Features that map to the same id are summed; those unknown to the vocabulary are left
        out. Raises `InputError` where too few are known (see `pancyte.corpus.genes`).
        """
        found = match(cells.features, self.table)
        check_overlap(found, cells, self.table)
        return found.project(cells.counts), found

    def save(self, path: str | Path) -> None:
        """Write a tab-separated table; floating-point numbers survive exactly."""
        table = self.table.copy()
        for name in table.select_dtypes(float):
            table[name] = [repr(float(value)) for value in table[name]]
        files.write_text(path, table.to_csv(sep="\t", index_label="feature"))

    @classmethod
    def load(cls, path: str | Path) -> Vocabulary:
        """Read what `save` wrote."""
        table = pd.read_csv(
            path, sep="\t", index_col="feature", keep_default_na=False, dtype=str, na_values=[]
        )
        if not table.index.is_unique:
            raise IntegrityError(f"{path} lists a feature twice.", fix="Fetch the model again.")
        for name in table.columns.difference(["symbol", "ensembl_id"]):
            # further names of a feature are text, as of published models
            with suppress(ValueError):
                table[name] = table[name].astype(float)
        return cls(table)
