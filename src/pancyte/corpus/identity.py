"""Which gene a name means: current symbols, old ones, aliases and Ensembl ids, offline.

The tables are those of ``tables/``; `scripts/build_gene_tables.py` makes them.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from pancyte.corpus.naming import clean, naming_of
from pancyte.errors import InputError, UsageError

Name = Literal["ensembl", "symbol"]

TABLES = Path(__file__).parent / "tables"
COLUMN = {"ensembl": "ensembl_id", "symbol": "symbol"}
# An id is an id, also one that a later Ensembl release has retired
_IDS = {"human": r"^ENSG\d{11}$", "mouse": r"^ENSMUSG\d{11}$"}
SPECIES = tuple(_IDS)


def genes(species: str) -> pd.DataFrame:
    """Return the bundled gene table of a species; do not change it.

    Parameters
    ----------
    species
        ``"human"`` or ``"mouse"``.

    Returns
    -------
    One row per gene: ``ensembl_id``, ``symbol``, ``aliases`` and ``previous`` (joined by ``"|"``),
    ``biotype``, ``chromosome`` (``"chr1"``), ``start`` and ``end`` (bases of GRCh38 or GRCm38, the
    first is 1) and for human genes ``entrez_id``; as text, ``""`` where there is none.

    Raises
    ------
    InputError
        If there is no table for the species.
    """
    if species not in SPECIES:
        raise InputError(
            f"There is no gene table for species {species!r}.",
            fix=f"Give species={' or '.join(map(repr, SPECIES))}; genes of others are matched "
            "by their exact names.",
        )
    return _read(f"{species}_genes.tsv.gz")


def orthologs() -> pd.DataFrame:
    """Return human and mouse genes that are one-to-one orthologs; do not change it.

    Returns
    -------
    One row per pair: ``human_id``, ``human_symbol``, ``mouse_id``, ``mouse_symbol``; a symbol
    is ``""`` if there is none that is the gene's alone.
    """
    return _read("human_mouse_orthologs.tsv.gz")


@cache
def _read(name: str) -> pd.DataFrame:
    with gzip.open(TABLES / name, "rt", encoding="utf-8") as lines:
        columns = next(line for line in lines if not line.startswith("#")).split()
        return pd.read_csv(
            lines, sep="\t", names=columns, dtype=str, keep_default_na=False, quoting=csv.QUOTE_NONE
        )


def positions(names: Iterable[object], species: str) -> pd.DataFrame:
    """Say where on the genome each gene is, for instance to look for copy-number changes.

    Parameters
    ----------
    names
        Symbols and Ensembl ids, as `resolve` takes them.
    species
        ``"human"`` (assembly GRCh38) or ``"mouse"`` (GRCm38, also called mm10).

    Returns
    -------
    One row per name, indexed by it: ``chromosome``, ``"chr1"`` …, ``""`` if not known; ``start``
    and ``end``, the first base of a chromosome being 1, as integers that may be missing. Genes of
    the mitochondria and of unplaced scaffolds are not known.

    Raises
    ------
    InputError
        If there is no table for the species.
    """
    table = genes(species)
    table = table[table["chromosome"] != ""].drop_duplicates("ensembl_id")
    given = pd.Index(list(names), dtype=object)
    places = table.set_index("ensembl_id")[["chromosome", "start", "end"]]
    found = places.reindex(resolve(given, species, "ensembl")["target"]).set_axis(given)
    numbers = {key: pd.to_numeric(found[key]).astype("Int64") for key in ("start", "end")}
    return found.assign(chromosome=found["chromosome"].fillna(""), **numbers)


def resolve(names: Iterable[object], species: str, to: Name) -> pd.DataFrame:
    """Say which gene each name means, and how sure that is.

    Current names win: a symbol in use is never read as an alias of another gene. A name that
    could mean several genes is not resolved.

    Parameters
    ----------
    names
        Symbols and Ensembl ids, mixed or not; versions and a reference's prefix are stripped. If
        most are numbers, they are read as Entrez ids; only the human table has those.
    species
        ``"human"`` or ``"mouse"``.
    to
        The wanted names.

    Returns
    -------
    One row per name, indexed by it. ``target`` is the wanted name, ``""`` if there is none;
    ``how`` is ``"exact"``, ``"stripped"`` (exact without version or prefix), ``"previous"``,
    ``"alias"``, ``"ambiguous"`` or ``"unknown"``, which includes known genes that have no name of
    the wanted kind; ``candidates`` are the symbols of the genes that an ambiguous name could mean,
    joined by ``"|"``.

    Raises
    ------
    InputError
        If there is no table for the species.
    UsageError
        If `to` is neither.
    """
    if to not in COLUMN:
        raise UsageError(f"There are no names {to!r}.", fix="Use to='ensembl' or to='symbol'.")
    given = pd.Index(list(names), dtype=object)
    plain = clean(given)
    if naming_of(given) == "numeric":
        known, plain = _by_number(species, to), plain.str.removesuffix(".0")
    else:
        known = _meanings(species, to)
    found = known.reindex(plain).fillna("").set_axis(given)
    found.loc[found["how"].to_numpy() == "", "how"] = "unknown"
    if to == "ensembl":
        itself = plain.str.contains(_IDS[species], regex=True)
        found["target"] = np.where(itself, plain, found["target"])
        found.loc[itself, ["how", "candidates"]] = ["exact", ""]
    changed = plain.to_numpy() != given.astype(str).to_numpy()
    found.loc[changed & (found["how"].to_numpy() == "exact"), "how"] = "stripped"
    return found


@cache
def _by_number(species: str, to: Name) -> pd.DataFrame:
    """Every Entrez id with its target."""
    table = genes(species)
    if "entrez_id" not in table:
        table = table[:0].assign(entrez_id="")
    known = table[table["entrez_id"] != ""].drop_duplicates("entrez_id").set_index("entrez_id")
    how = np.where(known[COLUMN[to]] == "", "unknown", "exact")
    return pd.DataFrame({"target": known[COLUMN[to]], "how": how, "candidates": ""})


@cache
def _meanings(species: str, to: Name) -> pd.DataFrame:
    """Every name a gene has or had, once, with its target."""
    table = genes(species)
    facts = {"target": table[COLUMN[to]], "symbol": table["symbol"]}
    pieces = [
        pd.DataFrame({"name": table[column].str.split("|"), "how": how, **facts})
        for column, how in (
            ("ensembl_id", "exact"), ("symbol", "exact"), ("previous", "previous"),
            ("aliases", "alias"),
        )
    ]  # fmt: skip
    every = pd.concat(pieces).explode("name")
    every = every[every["name"] != ""]
    current = every.loc[every["how"] == "exact", "name"]
    every = every[(every["how"] == "exact") | ~every["name"].isin(current)]
    known = every.drop_duplicates("name").set_index("name")[["target", "how"]]
    known.loc[known["target"] == "", "how"] = "unknown"
    unclear = every[every.groupby("name")["target"].transform("nunique") > 1]
    symbols = unclear.drop_duplicates(["name", "symbol"]).groupby("name")["symbol"].agg("|".join)
    known.loc[symbols.index, ["target", "how"]] = ["", "ambiguous"]
    known["candidates"] = symbols.reindex(known.index, fill_value="")
    return known
