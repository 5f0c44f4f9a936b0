"""A reference that is prepared once: vectors, labels, search, and the model they belong to."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pancyte import files
from pancyte.corpus.budget import machine_memory
from pancyte.corpus.cells import column
from pancyte.corpus.notices import tell
from pancyte.errors import InputError, IntegrityError, MissingError, ResourceError
from pancyte.mapping.projection import Projection
from pancyte.mapping.search import EXACT_UP_TO, Exact, Lists, bytes_a_cell

if TYPE_CHECKING:
    from pancyte.models.model import Model
    from pancyte.shapes import Cells

FORMAT = 1
FACTS = "index.json"
VECTORS, CODES, LISTS = "vectors.npy", "codes.npy", "lists.npz"
PROJECTION, GENES = "projection.npz", "genes.parquet"
PARTS = ("share", "chosen", "mean", "components")
LIST_PARTS = ("order", "bounds", "centres")
SAMPLED = 2000
NEAREST = 15


@dataclass(frozen=True)
class Placed:
    """Where query cells lie in a reference.

    Attributes
    ----------
    vectors
        (cells, width).
    rows, distances
        The nearest reference cells, nearest first, (cells, k).
    classes
        Labels of the reference, sorted.
    votes
        Share of the neighbours' votes for each label, (cells, labels).
    usual
        Share of reference cells that lie at least as far from their own neighbours, (cells,):
        near 0 for a cell unlike any of the reference.
    """

    vectors: np.ndarray
    rows: np.ndarray
    distances: np.ndarray
    classes: np.ndarray
    votes: np.ndarray
    usual: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """The label with most votes; the first one if tied."""
        return self.classes[self.votes.argmax(axis=1)]


@dataclass
class ReferenceIndex:
    """Cells of a reference where a model, or their own components, placed them.

    Attributes
    ----------
    by
        A model, or the `Projection` that the reference itself gave.
    codes, classes
        Label of each cell, as a row of the sorted labels.
    search
        The vectors, in `Exact` or `Lists`.
    spacing
        Distances of sampled reference cells to their own 15th neighbour, sorted.
    facts
        What is known of the reference: name, cells, hash of their content.
    """

    by: Model | Projection
    codes: np.ndarray
    classes: np.ndarray
    search: Exact | Lists
    spacing: np.ndarray
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def build(
        cls,
        cells: Cells,
        *,
        label_key: str,
        model: Model | None = None,
        approximate: bool | None = None,
        seed: int = 0,
    ) -> ReferenceIndex:
        """Place a reference's cells and make them searchable; says first what memory it takes.

        Parameters
        ----------
        cells
            The reference; cells without a label are left out.
        label_key
            Column with the labels.
        model
            What represents the cells; without one, 50 principal components of the reference.
        approximate
            Whether to look through the nearest lists only; by default above 50,000 cells.
        seed
            Of what is sampled.

        Raises
        ------
        InputError
            If no cell has a label.
        ResourceError
            If the index would not fit into this machine's memory.
        """
        cells = cells.select(column(cells, label_key) != "")
        if len(cells) < 2:
            raise InputError(
                f"{len(cells)} cells of the reference have a label in {label_key!r}.",
                fix="Name the column that holds the labels.",
            )
        by: Model | Projection = Projection.fit(cells, seed=seed) if model is None else model
        width = by.width if isinstance(by, Projection) else by.backbone.width
        approximate = settle(len(cells), width, approximate)
        vectors = np.ascontiguousarray(by.embed(cells), dtype=np.float32)
        facts = {"name": cells.name, "label_key": label_key}
        return cls.of(by, vectors, column(cells, label_key), approximate=approximate, facts=facts)

    @classmethod
    def of(
        cls,
        by: Model | Projection,
        vectors: np.ndarray,
        labels: np.ndarray,
        *,
        approximate: bool = False,
        facts: dict[str, Any] | None = None,
    ) -> ReferenceIndex:
        """Make an index of vectors that are there already."""
        classes, codes = np.unique(labels, return_inverse=True)
        search = Lists.build(vectors) if approximate else Exact(vectors)
        made = cls(by, codes.ravel().astype(np.int32), classes, search, np.zeros(0), {})
        sampled = np.random.default_rng(0).permutation(len(vectors))[:SAMPLED]
        lengths = made.search.nearest(vectors[np.sort(sampled)], NEAREST + 1)[1]
        made.spacing = np.sort(lengths[:, -1])
        made.facts = {"cells": len(vectors), **(facts or {})}
        return made

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def maker(self) -> dict[str, str]:
        """Name and hash of what placed the cells."""
        return {"name": self.by.name, "sha256": self.by.fingerprint()}

    def place(self, cells: Cells, *, k: int = NEAREST) -> Placed:
        """Place query cells among the reference's and count their neighbours' votes.

        A vote weighs exp(-(distance / distance of the k-th)²), so that nearer cells count more.
        """
        vectors = np.asarray(self.by.embed(cells), dtype=np.float32)
        rows, distances = self.search.nearest(vectors, k)
        far = np.maximum(distances[:, -1:], np.finfo(np.float32).tiny)
        weights = np.exp(-((distances / far) ** 2))
        votes = np.zeros((len(rows), len(self.classes)))
        np.add.at(votes, (np.arange(len(rows))[:, None], self.codes[rows]), weights)
        votes /= votes.sum(axis=1, keepdims=True)
        below = np.searchsorted(self.spacing, distances[:, -1], side="left")
        usual = (len(self.spacing) - below + 1) / (len(self.spacing) + 1)
        return Placed(vectors, rows, distances, self.classes, votes, usual)

    def save(self, folder: str | Path) -> None:
        """Write the index as a folder, replaced as a whole; the model itself is not copied."""
        with files.atomic_path(folder) as partial:
            partial.mkdir()
            np.save(partial / VECTORS, self.search.vectors)
            np.save(partial / CODES, self.codes)
            if isinstance(self.search, Lists):
                lists = {name: getattr(self.search, name) for name in LIST_PARTS}
                np.savez(partial / LISTS, **lists)
            if isinstance(self.by, Projection):
                kept = {name: getattr(self.by, name) for name in PARTS}
                np.savez(partial / PROJECTION, **kept)
                self.by.genes.fillna("").astype(str).to_parquet(partial / GENES)
            facts = {
                "format": FORMAT,
                "maker": self.maker,
                "own_components": isinstance(self.by, Projection),
                "search": self.search.kind,
                "classes": [str(name) for name in self.classes],
                "spacing": [float(length) for length in self.spacing],
                "reference": self.facts,
                "pancyte": version("pancyte"),
                "sha256": {p.name: files.sha256(p) for p in sorted(partial.iterdir())},
            }
            (partial / FACTS).write_text(json.dumps(facts, indent=1), encoding="utf-8")


def settle(cells: int, width: int, approximate: bool | None) -> bool:
    """Choose the search and say what memory it takes.

    Raises
    ------
    ResourceError
        If that is more than the machine has.
    """
    if approximate is None:
        approximate = cells > EXACT_UP_TO
    # while lists are sorted there is a second copy
    size = cells * bytes_a_cell(width) * (2 if approximate else 1)
    how = "by lists" if approximate else "exact"
    tell(f"index: {cells:,} cells × {width}, search {how}, {size / 1e6:,.0f} MB of memory")
    memory = machine_memory()
    if memory is not None and size > memory:
        raise ResourceError(
            f"An index of {cells:,} cells takes {size / 1e9:.1f} GB; the machine has "
            f"{memory / 1e9:.1f} GB.",
            fix="Use fewer cells of each type.",
        )
    return approximate


def load_index(folder: str | Path, *, model: Model | None = None) -> ReferenceIndex:
    """Load a saved index, its vectors mapped from disk.

    Parameters
    ----------
    folder
        Written by `ReferenceIndex.save`.
    model
        The model that made it; not needed where the reference's own components did.

    Raises
    ------
    MissingError
        If the folder is not an index, or needs a model.
    IntegrityError
        If it is damaged, of a newer format, or was made by another model.
    """
    place = Path(folder)
    if not (place / FACTS).is_file():
        raise MissingError(f"{place} is not a reference index.", fix=f"It would hold {FACTS}.")
    try:
        facts = json.loads((place / FACTS).read_text(encoding="utf-8"))
        if facts["format"] > FORMAT:
            raise IntegrityError(
                f"{place} has format {facts['format']}; this pancyte knows {FORMAT}.",
                fix="Upgrade pancyte.",
            )
        for name, told in facts["sha256"].items():
            if not (place / name).is_file() or files.sha256(place / name) != told:
                raise IntegrityError(
                    f"{place / name} is not what was saved.", fix="Build it again."
                )
        vectors = np.load(place / VECTORS, mmap_mode="r", allow_pickle=False)
        codes = np.load(place / CODES, allow_pickle=False)
        by = _maker(place, facts, model)
        search: Exact | Lists = Exact(vectors)
        if facts["search"] == Lists.kind:
            with np.load(place / LISTS, allow_pickle=False) as kept:
                search = Lists(vectors, *(kept[name] for name in LIST_PARTS))
        classes, spacing = np.array(facts["classes"]), np.array(facts["spacing"])
        return ReferenceIndex(by, codes, classes, search, spacing, facts["reference"])
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(f"{place} is damaged ({error}).", fix="Build it again.") from error


def _maker(place: Path, facts: dict[str, Any], model: Model | None) -> Model | Projection:
    if facts["own_components"]:
        with np.load(place / PROJECTION, allow_pickle=False) as kept:
            own = Projection(pd.read_parquet(place / GENES), *(kept[name] for name in PARTS))
        require_maker(facts["maker"], model or own, str(place))
        return own
    if model is None:
        raise MissingError(
            f"{place} was made by the model {facts['maker']['name']}, which is needed to place "
            "new cells.",
            fix="Give that model.",
        )
    require_maker(facts["maker"], model, str(place))
    return model


def require_maker(maker: dict[str, str], given: Model | Projection, what: str) -> None:
    """Refuse to place cells by another model than placed the reference's.

    Raises
    ------
    IntegrityError
        With both names and hashes.
    """
    if given.fingerprint() == maker["sha256"]:
        return
    raise IntegrityError(
        f"{what} was made by {maker['name']} ({maker['sha256'][:12]}…), not by {given.name} "
        f"({given.fingerprint()[:12]}…): their vectors mean different things.",
        fix="Give what it was made by (nothing, if that is 'pca'), or build the index again.",
    )
