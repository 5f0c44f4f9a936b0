"""A table of vectors by gene name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

from pancyte.corpus.canonical import canonical
from pancyte.corpus.genes import match
from pancyte.corpus.naming import guess_species
from pancyte.errors import InputError, IntegrityError


@dataclass(frozen=True)
class PriorTable:
    """Vectors of genes, of length 1 each, or on average where their lengths mean something.

    Attributes
    ----------
    genes
        One row per gene; the index is its Ensembl id where that is known, ``symbol`` its symbol.
    vectors
        (genes, dims) float32, rounded to half precision, which is how they are saved.
    """

    genes: pd.DataFrame
    vectors: np.ndarray

    @classmethod
    def of(cls, names: Sequence[str] | pd.Index, vectors: np.ndarray) -> Self:
        """Take vectors under any names; those of two names for one gene are averaged.

        The mean over all genes is taken off, since what is said of every gene tells none apart, and
        each vector is scaled to length 1. A gene whose vector then has no length is left out.

        Parameters
        ----------
        names
            Symbols or Ensembl ids, (genes,).
        vectors
            (genes, dims).

        Raises
        ------
        InputError
            If the shapes do not fit or a number is not finite.
        """
        vectors = np.asarray(vectors, np.float64)
        if vectors.ndim != 2 or len(names) != len(vectors) or not vectors.shape[1]:
            raise InputError(
                f"{len(names):,} genes do not fit vectors of shape {vectors.shape}.",
                fix="Give one row of numbers for each gene.",
            )
        if not np.isfinite(vectors).all():
            row = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
            raise InputError(
                f"The vector of {names[row]!r} has a number that is not finite.",
                fix="Leave genes out that have no vector.",
            )
        given = pd.DataFrame(index=pd.Index(names, dtype=object))
        table, columns = canonical(given, guess_species(given))
        total = np.zeros((len(table), vectors.shape[1]))
        np.add.at(total, columns, vectors)
        return cls.normalised(table[["symbol"]], total / np.bincount(columns)[:, None])

    @classmethod
    def normalised(cls, genes: pd.DataFrame, vectors: np.ndarray) -> Self:
        """Centre vectors of genes that have their final names, and scale them to length 1."""
        centred = vectors - vectors.mean(axis=0)
        length = np.linalg.norm(centred, axis=1, keepdims=True)
        known = length[:, 0] > 1e-6 * length.max(initial=0.0)
        return cls(genes[known], _half(centred[known] / length[known]))

    @classmethod
    def scaled(cls, genes: pd.DataFrame, vectors: np.ndarray) -> Self:
        """Keep vectors of genes that have their final names as they are, but for their scale."""
        mean = np.sqrt((vectors**2).sum(axis=1).mean())
        return cls(genes, _half(vectors / mean))

    @classmethod
    def joined(cls, tables: Sequence[Self]) -> Self:
        """Put several tables side by side; a gene that one of them lacks gets zeros there."""
        if len(tables) == 1:
            return tables[0]
        genes = pd.concat([table.genes for table in tables])
        genes = genes[~genes.index.duplicated()].sort_index()
        blocks, known = [], np.zeros(len(genes))
        for table in tables:
            place = genes.index.get_indexer(table.genes.index)
            block = np.zeros((len(genes), table.dims))
            block[place] = table.vectors
            known[place] += 1
            blocks.append(block)
        return cls(genes, _half(np.hstack(blocks) / np.sqrt(known)[:, None]))

    def __len__(self) -> int:
        return len(self.genes)

    @property
    def dims(self) -> int:
        """Length of the vectors."""
        return self.vectors.shape[1]

    def rows(self, features: pd.DataFrame) -> np.ndarray:
        """Find features among the genes, by whichever names agree: rows, or -1, (features,)."""
        return match(features, self.genes).columns

    def coverage(self, features: pd.DataFrame) -> float:
        """Return the share of features that have a vector."""
        return float((self.rows(features) >= 0).mean())

    def vectors_of(self, features: pd.DataFrame) -> np.ndarray:
        """Return the features' vectors, zeros where there is none. (features, dims) float32."""
        rows = self.rows(features)
        return np.where(rows[:, None] >= 0, self.vectors[rows], np.float32(0))

    def shuffled(self, seed: int, vocabulary: pd.DataFrame) -> Self:
        """Deal the vectors out anew, among the genes of a vocabulary and among the others."""
        rng = np.random.default_rng(seed)
        inside = np.isin(np.arange(len(self)), self.rows(vocabulary))
        order = np.arange(len(self))
        for group in (inside, ~inside):
            order[group] = rng.permutation(order[group])
        return replace(self, vectors=self.vectors[order])

    def save(self, path: str | Path) -> None:
        """Write a safetensors file: vectors in half precision, names as UTF-8, one per line."""
        from safetensors.numpy import save

        tensors = {
            "vectors": self.vectors.astype(np.float16),
            "names": _text(self.genes.index),
            "symbols": _text(self.genes["symbol"]),
        }
        Path(path).write_bytes(save(tensors))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        IntegrityError
            If it is damaged.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            found = load_file(path)
            names, symbols = (_lines(found[key]) for key in ("names", "symbols"))
            index = pd.Index(names, dtype=object, name="feature")
            genes = pd.DataFrame({"symbol": pd.Series(symbols, index, dtype=object)})
            return cls(genes, found["vectors"].astype(np.float32))
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise IntegrityError(
                f"{path} holds no prior vectors ({error}).", fix="Fetch the model again."
            ) from error


def _half(vectors: np.ndarray) -> np.ndarray:
    return vectors.astype(np.float16).astype(np.float32)


def _text(names: pd.Index | pd.Series) -> np.ndarray:
    return np.frombuffer("\n".join(map(str, names)).encode(), np.uint8)


def _lines(text: np.ndarray) -> list[str]:
    return text.tobytes().decode().split("\n")
