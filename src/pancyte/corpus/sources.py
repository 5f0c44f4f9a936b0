"""Where cells come from, as run files and suites say it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from pancyte import registry
from pancyte.corpus.cells import column, to_cells
from pancyte.corpus.datasets import load_dataset
from pancyte.corpus.read import read
from pancyte.errors import InputError

if TYPE_CHECKING:
    from pancyte.shapes import Cells


class Strict(BaseModel):
    """A section of a YAML file that knows all its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(Strict):
    """A dataset's name or a file, and which of its cells.

    Attributes
    ----------
    source
        A registered dataset, or a file relative to the YAML file that names it.
    keep, without
        Columns of ``obs`` with the values whose cells are used, or left out.
    """

    source: str
    keep: dict[str, list[str]] = Field(default_factory=dict)
    without: dict[str, list[str]] = Field(default_factory=dict)


def load_cells(name: str, folder: Path = Path(), *, quiet: bool = False) -> Cells:
    """Load a file of `folder`, or a registered dataset, as cells named after it.

    Raises
    ------
    UsageError
        If it is neither.
    """
    path = folder / name
    registered = name in registry.names("datasets")
    if path.is_file() or (not registered and (path.exists() or path.suffix)):
        return to_cells(read(path, quiet=quiet), name=path.stem)
    return to_cells(load_dataset(name), name=name)


def chosen(cells: Cells, source: Source) -> Cells:
    """Keep the cells a source asks for.

    Raises
    ------
    InputError
        If a column or a value does not occur, or no cell is left.
    """
    rows = np.ones(len(cells), dtype=bool)
    for wanted, columns in ((True, source.keep), (False, source.without)):
        for key, named in columns.items():
            values = column(cells, key)
            absent = sorted(set(named) - set(values))
            if absent:
                raise InputError(
                    f"{source.source} has no {key} {absent[0]!r}.",
                    fix=f"Its values: {', '.join(sorted(set(values)))}.",
                )
            rows &= np.isin(values, named) == wanted
    if not rows.any():
        raise InputError(f"No cell of {source.source} is left after the filter.", fix="Widen it.")
    return cells if rows.all() else cells.select(rows)
