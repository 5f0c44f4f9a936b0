"""One name per gene in all datasets of a corpus, and a fingerprint of each cell under it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numba
import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from pancyte.corpus.identity import SPECIES, genes, resolve
from pancyte.corpus.naming import clean, genomes_of, organism

if TYPE_CHECKING:
    from pancyte.shapes import Cells

MIXED = "mixed"


def canonical(features: pd.DataFrame, species: str) -> tuple[pd.DataFrame, np.ndarray]:
    """Name features by their Ensembl id wherever that is known, and by their own name elsewhere.

    Parameters
    ----------
    features
        The features of one dataset, with ``ensembl_id`` and ``symbol`` where it has them.
    species
        A common name; ``"mixed"`` reads each feature's species from its reference's prefix.

    Returns
    -------
    table
        One row per gene, sorted by name; the index ``feature`` is the name, and there are the
        columns ``symbol``, ``species`` and ``original_name`` (several are joined by ``"|"``).
    columns
        For each feature the row of its gene, (features,) int64; several may share one.
    """
    given = features.index.astype(str)
    kinds = _species_of(given, species)
    names = clean(given).to_numpy(object)
    symbols = _column(features, "symbol", names)
    ids = _column(features, "ensembl_id", "")
    for kind in set(kinds) & set(SPECIES):
        rows = np.flatnonzero(kinds == kind)
        found = resolve(names[rows], kind, "ensembl")["target"].to_numpy(object)
        ids[rows] = np.where(ids[rows] == "", found, ids[rows])
        current = genes(kind).drop_duplicates("ensembl_id").set_index("ensembl_id")["symbol"]
        # a locus of the reference without an id is no name for genes without one
        current = current.drop("", errors="ignore")
        known = current.reindex(ids[rows]).fillna("").to_numpy(object)
        symbols[rows] = np.where(known == "", symbols[rows], known)
    names = np.where(ids == "", np.where(names == "", given.to_numpy(object), names), ids)
    unique, first, columns = np.unique(names.astype(str), return_index=True, return_inverse=True)
    originals = pd.Series(given.to_numpy(object)).groupby(columns).agg("|".join)
    table = pd.DataFrame(
        {"symbol": symbols[first], "species": kinds[first], "original_name": originals.to_numpy()},
        index=pd.Index(unique.astype(object), name="feature"),
    )
    return table, columns.astype(np.int64)


def project(counts: csr_matrix, columns: np.ndarray, size: int) -> csr_matrix:
    """Move counts into the columns of their genes; those that share one are added up."""
    selection = csr_matrix(
        (np.ones(len(columns), counts.dtype), (np.arange(len(columns)), columns)),
        shape=(len(columns), size),
    )
    projected = csr_matrix(counts @ selection)
    projected.sort_indices()
    return projected


def feature_keys(names: pd.Index) -> np.ndarray:
    """Hash feature names to 64 bits each, the same on every machine. Shape (features,) uint64."""
    digests = [hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names]
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)


@numba.njit(cache=True, nogil=True)
def _mixed(value: np.uint64) -> np.uint64:
    # the finaliser of SplitMix64 (Steele et al., OOPSLA 2014)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@numba.njit(cache=True, nogil=True)
def _hash(key: np.uint64, count: float) -> np.uint64:
    bits = np.uint64(np.float32(count).view(np.uint32))
    return _mixed(key ^ _mixed(bits + np.uint64(1)))


@numba.njit(cache=True, nogil=True)
def _hashes(
    offsets: np.ndarray, ids: np.ndarray, counts: np.ndarray, keys: np.ndarray, shared: np.ndarray
) -> np.ndarray:
    found = np.empty(len(offsets) - 1, np.uint64)
    sums = np.zeros(shared.max() + 1 if len(shared) else 0)
    key_of = np.zeros(len(sums), np.uint64)
    for feature in range(len(shared)):
        if shared[feature] >= 0:
            key_of[shared[feature]] = keys[feature]
    for row in range(len(found)):
        total = np.uint64(0)
        for at in range(offsets[row], offsets[row + 1]):
            feature = ids[at]
            if shared[feature] >= 0:
                sums[shared[feature]] += counts[at]
            else:
                total += _hash(keys[feature], counts[at])
        for gene in range(len(sums)):
            if sums[gene]:
                total += _hash(key_of[gene], sums[gene])
                sums[gene] = 0.0
        found[row] = _mixed(total)
    return found


def cell_hashes(
    counts: csr_matrix, keys: np.ndarray, columns: np.ndarray | None = None
) -> np.ndarray:
    """Fingerprint each cell by its genes and counts, whatever their order and storage.

    Parameters
    ----------
    counts
        (cells, features), no feature twice in a row and no stored zeros.
    keys
        What `feature_keys` gives for the genes' canonical names.
    columns
        For each feature the row of its gene, as `canonical` gives it; counts of features that
        share one are added up. Without it, features are the genes.

    Returns
    -------
    (cells,) uint64. Two different cells of a corpus of 10⁸ share one with probability 0.0003.
    """
    columns = np.arange(counts.shape[1]) if columns is None else columns
    several = np.bincount(columns, minlength=len(keys)) > 1
    number = np.where(several, np.cumsum(several) - 1, -1)
    return _hashes(counts.indptr, counts.indices, counts.data, keys[columns], number[columns])


def fingerprints(cells: Cells) -> np.ndarray:
    """Fingerprint cells so that the same cell in another file has the same one.

    Returns
    -------
    (cells,) uint64, of the counts under canonical gene names; names of cells do not enter.
    """
    table, columns = canonical(cells.features, species_among(cells))
    return cell_hashes(cells.counts, feature_keys(table.index), columns)


def species_among(cells: Cells) -> str:
    """Return the species of cells, ``"mixed"`` if there are several."""
    kinds = cells.context["species"].unique() if "species" in cells.context else ["unknown"]
    return str(kinds[0]) if len(kinds) == 1 else MIXED


def content_hash(hashes: np.ndarray) -> str:
    """Turn cells' fingerprints into one of the set of cells, whatever their order."""
    return hashlib.sha256(np.sort(hashes).astype("<u8", copy=False).data).hexdigest()


def _species_of(names: pd.Index, species: str) -> np.ndarray:
    kinds = np.full(len(names), species, dtype=object)
    if species == MIXED:
        for genome in genomes_of(names):
            kinds[names.str.startswith(genome)] = organism(genome)
    return kinds


def _column(features: pd.DataFrame, name: str, default: object) -> np.ndarray:
    if name not in features:
        return np.broadcast_to(np.asarray(default, dtype=object), len(features)).copy()
    values = features[name].astype(object)
    return np.array(values.where(values.notna(), default), dtype=object)
