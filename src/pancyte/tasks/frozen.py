"""A pancyte model as a method under test, and its own control with random weights."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pancyte.models.model import Model
    from pancyte.shapes import Cells


class VectorStore:
    """Vectors by the content of the cell, so that no cell is embedded twice.

    A frozen network's vector depends on the cell alone: folds, seeds and tasks share it.
    """

    def __init__(self) -> None:
        self._vectors: dict[bytes, np.ndarray] = {}

    def __call__(self, cells: Cells, embed: Callable[[Cells], np.ndarray]) -> np.ndarray:
        """Return a vector for each of `cells`, asking `embed` only for those not yet known."""
        keys = cell_hashes(cells)
        unknown = [row for row, key in enumerate(keys) if key not in self._vectors]
        if unknown:
            vectors = embed(cells.select(np.asarray(unknown)))
            self._vectors.update(zip((keys[row] for row in unknown), vectors, strict=True))
        return np.stack([self._vectors[key] for key in keys])


class FrozenModel:
    """A model as it is: nothing is fitted, neither on the reference nor on the query.

    Parameters
    ----------
    model
        A pancyte model.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.name = model.name
        self._store = VectorStore()

    @property
    def trained_on(self) -> list[dict[str, Any]]:
        """The datasets its card says it has seen."""
        return self.model.card.trained_on

    def embed(
        self, reference: Cells, *queries: Cells, batch_key: str | None = None, seed: int = 0
    ) -> tuple[np.ndarray, ...]:
        """Return (cells, width) for the reference and for each query."""
        return tuple(self._store(cells, self.model.embed) for cells in (reference, *queries))


class RandomWeights:
    """The same network and tokenizer with random weights: what training has to beat.

    Parameters
    ----------
    model
        The model whose control this is; each seed draws other weights.
    """

    needs_model = True

    def __init__(self, model: Model) -> None:
        self.model = model
        self.name = f"random-weights({model.name})"
        self._stores: dict[int, VectorStore] = {}

    def embed(
        self, reference: Cells, *queries: Cells, batch_key: str | None = None, seed: int = 0
    ) -> tuple[np.ndarray, ...]:
        """Return (cells, width) for the reference and for each query."""
        store = self._stores.setdefault(seed, VectorStore())

        def embed(cells: Cells) -> np.ndarray:
            return self.model.reinitialised(seed).embed(cells)

        return tuple(store(cells, embed) for cells in (reference, *queries))


def cell_hashes(cells: Cells) -> list[bytes]:
    """Hash all a model may read of each cell: its counts, gene names and context."""
    names = hashlib.blake2b("\n".join(map(str, cells.features.index)).encode())
    for extra in cells.features.columns:
        names.update("\n".join(map(str, cells.features[extra])).encode())
    counts = cells.counts
    context = cells.context.astype(str).to_numpy()
    hashes = []
    for row, (start, stop) in enumerate(zip(counts.indptr[:-1], counts.indptr[1:], strict=True)):
        hasher = names.copy()
        hasher.update(counts.indices[start:stop].astype(np.int64).tobytes())
        hasher.update(counts.data[start:stop].astype(np.float64).tobytes())
        if len(context):
            hasher.update("\t".join(context[row]).encode())
        hashes.append(hasher.digest())
    return hashes
