"""Genes that share terms or pathways get similar vectors."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from pancyte._settings import settings
from pancyte.errors import InputError, IntegrityError, MissingError
from pancyte.priors.table import PriorTable

FEWEST = 3
"""Genes a set must have to say something about how genes belong together."""


def vectors_of_sets(pairs: Iterable[tuple[str, str]], dims: int, *, source: Path) -> PriorTable:
    """Turn memberships of genes in sets into vectors.

    Parameters
    ----------
    pairs
        Gene and set.
    dims
        Length of the vectors, at most one less than there are sets.
    source
        Where they come from, for messages.

    Returns
    -------
    Latent semantic analysis (Deerwester et al., JASIS 1990): sets weighted by the logarithm of how
    rare they are, genes scaled to length 1, and the leading left singular vectors times their
    singular values.

    Raises
    ------
    InputError
        If there are fewer than two sets of three genes.
    """
    from sklearn.utils.extmath import randomized_svd

    table = pd.DataFrame(pairs, columns=["gene", "set"]).drop_duplicates()
    sizes = table.groupby("set")["gene"].transform("size")
    table = table[sizes >= FEWEST]
    genes, names = (pd.Categorical(table[column]) for column in ("gene", "set"))
    shape = len(genes.categories), len(names.categories)
    if min(shape) < 2:
        raise InputError(
            f"{source} has fewer than two sets of {FEWEST} genes.", fix="Give a larger file."
        )
    rare = np.log(shape[0] / np.bincount(names.codes))
    weights = csr_matrix((rare[names.codes], (genes.codes, names.codes)), shape=shape)
    length = np.sqrt(weights.multiply(weights).sum(axis=1)).A1
    scaled = weights.multiply(1 / np.maximum(length, 1e-12)[:, None]).tocsr()
    left, strength, _ = randomized_svd(scaled, min(dims, min(shape) - 1), random_state=0)
    return PriorTable.of(genes.categories, left * strength)


def found(given: str, usual: str, what: str) -> Path:
    """Return the path of a knowledge file: the one given, or the usual one in the data folder.

    Raises
    ------
    MissingError
        If it is not there.
    """
    path = Path(given) if given else (settings.data_dir or Path()) / usual
    if not path.is_file():
        raise MissingError(
            f"There is no {path}.",
            fix=f"Give file: with the path of {what}, or set PANCYTE_DATA to a folder that has "
            f"{usual}.",
        )
    return path


def read_gmt(path: Path) -> Iterator[tuple[str, str]]:
    """Read gene sets as MSigDB writes them: name, address, genes, separated by tabs."""
    with opened(path) as lines:
        for number, line in enumerate(lines, start=1):
            name, *rest = line.rstrip("\r\n").split("\t")
            if len(rest) < 2:
                raise InputError(
                    f"Line {number} of {path} is no gene set: {line[:40]!r}.",
                    fix="Give a GMT file: name, address and genes, separated by tabs.",
                )
            yield from ((gene, name) for gene in rest[1:] if gene)


def read_annotations(path: Path, without: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Read genes and their GO terms: a GAF 2 file, or a table with ``symbol`` and ``go_id``.

    Parameters
    ----------
    path
        The file, gzipped or not.
    without
        Evidence codes to leave out; annotations marked NOT are left out too.
    """
    with opened(path) as lines:
        # the fields of GAF 2: symbol, qualifier, term, evidence
        places = [2, 3, 4, 6]
        for fields in csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
            if not fields or fields[0].startswith("!"):
                continue
            if "go_id" in fields:
                header = {name: place for place, name in enumerate(fields)}
                places = [header.get(n, -1) for n in ("symbol", "qualifier", "go_id", "evidence")]
                continue
            gene, qualifier, term, evidence = (
                fields[place] if 0 <= place < len(fields) else "" for place in places
            )
            if not term.startswith("GO:"):
                raise InputError(
                    f"{path} has {term[:20]!r} where a GO term should be.",
                    fix="Give a GAF file, or a table with the columns symbol and go_id.",
                )
            if gene and evidence not in without and not qualifier.startswith("NOT"):
                yield gene, term


@contextmanager
def opened(path: Path) -> Iterator[IO[str]]:
    """Open text, gzipped or not.

    Raises
    ------
    IntegrityError
        If it is damaged.
    """
    try:
        with path.open("rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
        with (gzip.open if zipped else open)(path, "rt", encoding="utf-8") as lines:
            yield lines
    except (OSError, EOFError, zlib.error, UnicodeError) as error:
        raise IntegrityError(
            f"{path} is damaged: {error}.", fix="Copy or download it again."
        ) from None
