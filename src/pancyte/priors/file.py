"""Vectors of genes from a file of the user's: protein, text or any other embeddings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from pancyte.errors import InputError, MissingError
from pancyte.priors.prior import Prior, PriorConfig
from pancyte.priors.table import PriorTable
from pancyte.store.corpus import Corpus

Vectors = tuple[Sequence[str], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class FileConfig(PriorConfig):
    """Which file is read.

    Attributes
    ----------
    file
        One row of numbers for each gene, as ``.parquet``, ``.tsv``, ``.csv`` (gzipped or not),
        ``.npz`` or ``.safetensors``.
    dims
        Keep this many leading principal components; 0 keeps the vectors as they are.
    """

    fewest: ClassVar[int] = 0
    file: str = ""
    dims: int = 0


class File(Prior):
    """Vectors that somebody else made. Only plain formats are read; nothing is executed."""

    name = "file"
    Config = FileConfig

    def table(self, corpus: Corpus, rows: Sequence[np.ndarray | None] | None = None) -> PriorTable:
        """Return the vectors of the file, whatever the corpus."""
        names, vectors = read_vectors(self.config.file)
        if 0 < self.config.dims < vectors.shape[1]:
            from sklearn.utils.extmath import randomized_svd

            centred = vectors - vectors.mean(axis=0)
            left, strength, _ = randomized_svd(centred, self.config.dims, random_state=0)
            vectors = left * strength
        return PriorTable.of(names, vectors)


def read_vectors(file: str | Path) -> Vectors:
    """Read names and vectors of genes.

    Parameters
    ----------
    file
        A Parquet file or text table (names are the index or the only column of text, all others
        numbers), or a ``.npz`` or ``.safetensors`` file (one array of two axes, and the names: in a
        ``.npz`` an array of text, in ``.safetensors`` a tensor ``names`` of UTF-8 bytes, a name per
        line).

    Raises
    ------
    MissingError
        If there is no such file.
    InputError
        If it is of another kind, or damaged, or not one row of numbers per name.
    """
    path = Path(file)
    kind = path.name.removesuffix(".gz").rpartition(".")[2]
    if not path.is_file():
        raise MissingError(f"There is no file {str(file)!r} of prior vectors.", fix="Check file:.")
    if kind not in READERS:
        raise InputError(
            f"{path} is no kind of file that prior vectors are read from.",
            fix=f"Write them as {', '.join(READERS)}.",
        )
    try:
        return READERS[kind](path)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{path} cannot be read as {kind}: {error}.",
            fix="Write it again; arrays of objects are not read, for they can execute code.",
        ) from error


def _frame(path: Path, table: pd.DataFrame) -> Vectors:
    numbers = table.select_dtypes("number")
    texts = table.columns.difference(numbers.columns)
    if len(texts) > 1 or not numbers.shape[1]:
        raise InputError(
            f"{path} has {len(texts)} columns of text and {numbers.shape[1]} of numbers.",
            fix="Give one of gene names, or names as the index, and numbers in all others.",
        )
    names = table[texts[0]] if len(texts) else table.index
    return [str(name) for name in names], numbers.to_numpy(np.float64)


def _parquet(path: Path) -> Vectors:
    return _frame(path, pd.read_parquet(path))


def _tsv(path: Path) -> Vectors:
    return _frame(path, pd.read_csv(path, sep="\t", keep_default_na=False))


def _csv(path: Path) -> Vectors:
    return _frame(path, pd.read_csv(path, keep_default_na=False))


def _npz(path: Path) -> Vectors:
    with np.load(path, allow_pickle=False) as found:
        arrays = [found[name] for name in found.files]
    return _arrays(
        path,
        [array for array in arrays if array.dtype.kind == "U"],
        [array for array in arrays if array.ndim == 2 and array.dtype.kind in "fiu"],
    )


def _safetensors(path: Path) -> Vectors:
    from safetensors.numpy import load_file

    arrays = load_file(path)
    names = arrays.pop("names", np.zeros(0, np.uint8))
    text = np.array(names.tobytes().decode().split("\n"))
    return _arrays(path, [text], [array for array in arrays.values() if array.ndim == 2])


def _arrays(path: Path, names: list[np.ndarray], vectors: list[np.ndarray]) -> Vectors:
    if len(names) != 1 or len(vectors) != 1 or len(names[0]) != len(vectors[0]):
        raise InputError(
            f"{path} has {len(names)} arrays of names and {len(vectors)} of vectors, of shapes "
            f"{[array.shape for array in (*names, *vectors)]}.",
            fix="Give one of each, with a row for every name.",
        )
    return [str(name) for name in names[0]], vectors[0].astype(np.float64)


READERS: dict[str, Callable[[Path], Vectors]] = {
    "parquet": _parquet,
    "tsv": _tsv,
    "csv": _csv,
    "npz": _npz,
    "safetensors": _safetensors,
}
