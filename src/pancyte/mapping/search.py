"""Who is nearest: exactly, or by an approximate graph that is kept on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pancyte.errors import MissingError

EXACT_UP_TO = 50_000
"""Cells up to which the exact search is the faster choice, all in all."""
LINKS = 16
EFFORT_ADDING, EFFORT_ASKING = 128, 128
BLOCK = 4_000_000


def bytes_a_cell(width: int, *, approximate: bool) -> int:
    """Memory of a cell in an index: its vector, and in a graph a half-size copy and its links."""
    return 4 * width + ((2 * width + 4 * 3 * LINKS + 32) if approximate else 0)


class Exact:
    """Compare with every cell of the reference.

    Parameters
    ----------
    vectors
        (cells, width) float32; may be mapped from disk.
    """

    kind = "exact"

    def __init__(self, vectors: np.ndarray) -> None:
        self.vectors = vectors
        self.squares = np.einsum("ij,ij->i", vectors, vectors)

    def nearest(self, asked: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return rows and Euclidean distances of the `k` nearest, (asked, k) each."""
        asked, k = asked.astype(np.float32), min(k, len(self.vectors))
        rows, lengths = np.empty((len(asked), k), int), np.empty((len(asked), k), np.float32)
        step = max(1, BLOCK // len(self.vectors))
        for start in range(0, len(asked), step):
            part = slice(start, start + step)
            block = self.squares - 2 * (asked[part] @ self.vectors.T)
            found = np.argpartition(block, k - 1, axis=1)[:, :k]
            # differences again, as the products above lose digits of small distances
            apart = asked[part, None] - self.vectors[found]
            exact = np.sqrt(np.einsum("ijk,ijk->ij", apart, apart))
            order = np.lexsort((found, exact))
            rows[part] = np.take_along_axis(found, order, axis=1)
            lengths[part] = np.take_along_axis(exact, order, axis=1)
        return rows, lengths


class Graph:
    """Walk a graph of neighbours towards the nearest (HNSW, Malkov & Yashunin 2020, PAMI 42:824).

    By usearch (Apache 2.0), vectors in half precision.

    Parameters
    ----------
    index
        A usearch index.
    """

    kind = "graph"

    def __init__(self, index: Any) -> None:
        self.index = index

    @classmethod
    def build(cls, vectors: np.ndarray) -> Graph:
        """Add every cell of the reference."""
        made = _usearch().Index(
            ndim=vectors.shape[1], metric="l2sq", dtype="f16", connectivity=LINKS,
            expansion_add=EFFORT_ADDING, expansion_search=EFFORT_ASKING,
        )  # fmt: skip
        made.add(np.arange(len(vectors)), vectors)
        return cls(made)

    @classmethod
    def load(cls, path: Path) -> Graph:
        """Map a saved graph into memory."""
        return cls(_usearch().Index.restore(str(path), view=True))

    def save(self, path: Path) -> None:
        """Write the graph."""
        self.index.save(str(path))

    def nearest(self, asked: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return rows and Euclidean distances of about the `k` nearest, (asked, k) each."""
        asked = np.ascontiguousarray(asked, dtype=np.float32)
        found = self.index.search(asked, min(k, len(self.index)))
        rows = np.atleast_2d(np.asarray(found.keys)).astype(int)
        return rows, np.sqrt(np.atleast_2d(np.asarray(found.distances, np.float32)))


def _usearch() -> Any:
    try:
        from usearch import index
    except ImportError as error:
        raise MissingError(
            "An approximate index needs usearch, which is not installed.",
            fix="pip install 'pancyte[index]', or search exactly.",
        ) from error
    return index
