"""A corpus: many datasets, one union of genes, one manifest."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from pancyte import files
from pancyte.corpus.canonical import (
    canonical,
    cell_hashes,
    content_hash,
    feature_keys,
    project,
    species_among,
)
from pancyte.corpus.identity import orthologs
from pancyte.errors import InputError, IntegrityError, MissingError
from pancyte.store.part import Part, in_memory, open_part
from pancyte.store.spool import HASHES

if TYPE_CHECKING:
    from anndata import AnnData

    from pancyte.shapes import Cells

SCHEMA = 1
MANIFEST = "corpus.json"
PARTS = "parts"


class Corpus:
    """Cells of many datasets whose genes have one name each.

    Parameters
    ----------
    parts
        The datasets.
    orthologs
        Name mouse genes by their one-to-one human ortholog where there is one.
    """

    def __init__(self, parts: Sequence[Part], *, orthologs: bool = False) -> None:
        if not parts:
            raise InputError("There is no dataset in this corpus.", fix="Add one.")
        self.parts = tuple(parts)
        self.orthologs = orthologs

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Open what `pancyte.store.build.build` wrote; counts stay on disk.

        Raises
        ------
        MissingError
            If there is no corpus.
        IntegrityError
            If the manifest is damaged, or a part is missing or cut.
        """
        folder = Path(folder)
        parts = []
        for about in manifest(folder):
            path = folder / PARTS / about["file"]
            if not path.is_file() or path.stat().st_size != about["bytes"]:
                state = "has another size" if path.is_file() else "is missing"
                raise IntegrityError(
                    f"{path} {state}.",
                    fix=f"Remove {about['name']} from the corpus and add its source again.",
                )
            parts.append(replace(open_part(path), about=about))
        return cls(parts)

    @classmethod
    def of(cls, *sets: Cells) -> Self:
        """Make a corpus of cells that are in memory."""
        parts = []
        for cells in sets:
            species = species_among(cells)
            table, columns = canonical(cells.features, species)
            counts = project(cells.counts, columns, len(table))
            hashes = cell_hashes(counts, feature_keys(table.index))
            parts.append(
                in_memory(
                    counts,
                    cells.obs.assign(**{HASHES: hashes}),
                    table,
                    {
                        "name": cells.name,
                        "cells": len(cells),
                        "species": species,
                        "content_hash": content_hash(hashes),
                    },
                )
            )
        return cls(parts)

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    @cached_property
    def features(self) -> pd.DataFrame:
        """All genes, sorted by name, with ``symbol`` and ``species``."""
        tables = [
            part.features()[["symbol", "species"]].set_axis(self._names(part))
            for part in sorted(self.parts, key=lambda part: part.about["species"])
        ]
        table = pd.concat(tables)
        return table[~table.index.duplicated()].sort_index().rename_axis("feature")

    @cached_property
    def columns(self) -> tuple[np.ndarray, ...]:
        """For each part the row of `features` of each of its genes. int32 each."""
        return tuple(
            self.features.index.get_indexer(self._names(part)).astype(np.int32)
            for part in self.parts
        )

    def _names(self, part: Part) -> pd.Index:
        names = part.features().index
        if not self.orthologs or part.about["species"] != "mouse":
            return names
        pairs = orthologs().drop_duplicates("mouse_id").set_index("mouse_id")["human_id"]
        found = pairs.reindex(names).fillna("").to_numpy(object)
        return pd.Index(np.where(found == "", names.to_numpy(object), found))

    def slabs(
        self, size: int, *, rows: Sequence[np.ndarray | None] | None = None
    ) -> Iterator[tuple[int, csr_matrix]]:
        """Go through cells in order: the number of the part, and counts over `features`.

        Parameters
        ----------
        size
            Cells at a time.
        rows
            For each part the rows to go through, or None for all.
        """
        for number, part in enumerate(self.parts):
            chosen = rows[number] if rows is not None else None
            columns = self.columns[number]
            for start in range(0, len(part), size):
                stop = min(start + size, len(part))
                low, high = int(part.offsets[start]), int(part.offsets[stop])
                counts = csr_matrix(
                    (
                        np.asarray(part.values[low:high], np.float32),
                        columns[part.ids[low:high]],
                        part.offsets[start : stop + 1] - low,
                    ),
                    shape=(stop - start, len(self.features)),
                )
                if chosen is None:
                    yield number, counts
                elif len(here := chosen[(chosen >= start) & (chosen < stop)]):
                    yield number, counts[here - start]

    def manifest(self) -> list[dict[str, Any]]:
        """Say what is in it, a dataset per entry, for a model card to cite."""
        return [part.about for part in self.parts]

    def to_anndata(self, names: Sequence[str] = ()) -> AnnData:
        """Load datasets, all by default, as one AnnData: float32 counts in X, ``obs["dataset"]``.

        Raises
        ------
        InputError
            If a name is not in the corpus.
        """
        from anndata import AnnData

        known = [part.name for part in self.parts]
        if unknown := sorted(set(names) - set(known)):
            raise InputError(f"There is no dataset {unknown[0]!r}.", fix=f"There are: {known}.")
        parts = [part for part in self.parts if not names or part.name in names]
        chosen = Corpus(parts, orthologs=self.orthologs)
        counts = [slab for _, slab in chosen.slabs(1 << 16)]
        obs = [
            pd.DataFrame(
                {name: part.column(name).to_numpy() for name in part.columns}, index=part.names()
            ).assign(dataset=part.name)
            for part in chosen.parts
        ]
        from scipy.sparse import vstack

        joined = pd.concat(obs)
        joined = joined.astype(dict.fromkeys(joined.select_dtypes(object), "category"))
        joined.index = pd.Index(
            [f"{a}:{b}" for a, b in zip(joined["dataset"], joined.index, strict=True)]
        )
        return AnnData(vstack(counts, format="csr"), obs=joined, var=chosen.features)


def manifest(folder: Path) -> list[dict[str, Any]]:
    """Read a corpus's manifest.

    Raises
    ------
    MissingError
        If there is none.
    IntegrityError
        If it is damaged.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise MissingError(
            f"{folder} is no corpus: it has no {MANIFEST}.",
            fix="Make one: pancyte corpus build FOLDER FILES …",
        )
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["schema"] != SCHEMA:
            raise InputError(
                f"{path} has schema {found['schema']}; this pancyte reads {SCHEMA}.",
                fix="Update pancyte.",
            )
        return list(found["parts"])
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(
            f"{path} is damaged: {error}.", fix="Build the corpus again."
        ) from None


def write_manifest(folder: Path, parts: list[dict[str, Any]]) -> None:
    """Write a corpus's manifest: from now on these are its parts."""
    text = json.dumps({"schema": SCHEMA, "parts": parts}, indent=1, sort_keys=True)
    files.write_text(folder / MANIFEST, text + "\n")


def verify(folder: Path) -> list[str]:
    """Return the names of parts whose file is not, byte for byte, what was written."""
    bad = []
    for about in manifest(folder):
        path = folder / PARTS / about["file"]
        if not path.is_file() or files.sha256(path) != about["sha256"]:
            bad.append(str(about["name"]))
    return bad
