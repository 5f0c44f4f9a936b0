"""The Cell Ontology, offline: what a label means, and what several labels have in common."""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from pancyte.errors import InputError, MissingError

SHIPPED = Path(__file__).parent / "tables" / "cell_ontology.tsv.gz"
ROOT = "CL:0000000"
MOST = 0.25
USUAL = {
    "cd4 t cell": "CL:0000624", "cd8 t cell": "CL:0000625", "ilc": "CL:0001065",
    "fcgr3a positive monocyte": "CL:0002396", "cd16 positive monocyte": "CL:0002396",
    "gamma delta t cell": "CL:0000798", "gdt": "CL:0000798", "hspc": "CL:0008001",
    "alpha cell": "CL:0000171", "beta cell": "CL:0000169", "delta cell": "CL:0000173",
}  # fmt: skip
"""What data sets call cell types without the ontology knowing the name."""

ID_COLUMNS = ("cell_type_ontology_term_id", "cell_ontology_id", "cell_ontology_term_id")


@dataclass(frozen=True)
class Ontology:
    """Cell types and which of them are kinds of which.

    Attributes
    ----------
    labels
        Name of each term, by id.
    parents
        The terms directly above each term.
    synonyms
        Other names of each term.
    """

    labels: dict[str, str]
    parents: dict[str, tuple[str, ...]]
    synonyms: dict[str, tuple[str, ...]]

    def find(self, name: str) -> str | None:
        """Find the term of a cell type by its id, name or synonym; None if there is none.

        Upper and lower case, plurals, ``+`` for *positive*, commas and hyphens do not matter.
        """
        if name in self.labels:
            return name
        return self._names.get(plain(name))

    def ancestors(self, term: str) -> frozenset[str]:
        """Return a term and everything it is a kind of."""
        return self._ancestors[term]

    def common(self, terms: Iterable[str]) -> str:
        """Return the narrowest term that all of `terms` are kinds of.

        Of the terms above all of them it is the one with the fewest kinds below it, the first
        id if tied. For one term it is the term itself; at worst it is ``"CL:0000000"``, cell.
        """
        shared = frozenset.intersection(*(self.ancestors(term) for term in terms))
        return min(shared or {ROOT}, key=lambda term: (self._kinds[term], term))

    def says_something(self, term: str) -> bool:
        """Tell whether a term rules most cell types out, unlike *cell* or *eukaryotic cell*."""
        return self._kinds[term] <= MOST * len(self.labels)

    @cached_property
    def _names(self) -> dict[str, str]:
        other = ((name, term) for term in self.labels for name in self.synonyms[term])
        names = {plain(name): term for name, term in reversed(list(other))}
        names = {name: term for name, term in USUAL.items() if term in self.labels} | names
        return names | {plain(label): term for term, label in self.labels.items()}

    @cached_property
    def _ancestors(self) -> dict[str, frozenset[str]]:
        found: dict[str, frozenset[str]] = {}

        def above(term: str) -> frozenset[str]:
            if term not in found:
                found[term] = frozenset({term}).union(*map(above, self.parents[term]))
            return found[term]

        for term in self.labels:
            above(term)
        return found

    @cached_property
    def _kinds(self) -> Counter[str]:
        return Counter(term for above in self._ancestors.values() for term in above)


@lru_cache(maxsize=2)
def load_ontology(path: str | Path | None = None) -> Ontology:
    """Read the shipped Cell Ontology, or another one.

    Parameters
    ----------
    path
        A table like the shipped one (tab-separated: id, label, parents, synonyms, the last two
        joined by ``|``), or JSON in the form of CZI's ``cellxgene-ontology-guide``; may be
        gzipped.

    Raises
    ------
    MissingError
        If there is no such file.
    InputError
        If it is neither.

    Notes
    -----
    Diehl et al. 2016, *The Cell Ontology 2016*, J. Biomed. Semant. 7:44; CC BY 4.0.
    """
    file = Path(path) if path is not None else SHIPPED
    if not file.is_file():
        raise MissingError(f"There is no ontology file {str(file)!r}.", fix="Check the path.")
    opened = gzip.open if file.suffix == ".gz" else open
    try:
        with opened(file, "rt", encoding="utf-8") as handle:
            text = handle.read()
        rows = _from_json(text) if text.lstrip().startswith("{") else _from_table(text)
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise InputError(
            f"{file} is no ontology that pancyte can read ({error}).",
            fix="Give CL-ontology-*.json.gz of cellxgene-ontology-guide, or a table with the "
            "columns id, label, parents, synonyms.",
        ) from error
    known = {term for term, *_ in rows}
    return Ontology(
        {term: label for term, label, _, _ in rows},
        {term: tuple(sorted(known.intersection(above))) for term, _, above, _ in rows},
        {term: tuple(names) for term, _, _, names in rows},
    )


Row = tuple[str, str, list[str], list[str]]


def _from_json(text: str) -> list[Row]:
    return [
        (
            term,
            entry["label"],
            [above for above, steps in entry["ancestors"].items() if steps == 1],
            list(entry.get("synonyms", [])),
        )
        for term, entry in json.loads(text).items()
        if not entry.get("deprecated")
    ]


def _from_table(text: str) -> list[Row]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return [
        (row["id"], row["label"], row["parents"].split("|"), _parts(row["synonyms"]))
        for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    ]


def _parts(joined: str) -> list[str]:
    return joined.split("|") if joined else []


def plain(name: str) -> str:
    """Spell a cell type's name in the one way in which names are compared."""
    spelt = re.sub(r"(?<=\w)\+", " positive", name.lower())
    words = re.sub(r"[^a-z0-9]+", " ", spelt).split()
    return " ".join(word[:-1] if len(word) > 3 and word.endswith("s") else word for word in words)


def roll_up(
    ontology: Ontology, terms: Sequence[str | None], sets: np.ndarray, probabilities: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Answer with the kind of cell that all labels left for a cell have in common.

    Parameters
    ----------
    ontology
        The ontology.
    terms
        Term of each label, None where it has none.
    sets
        Labels left for each cell, (cells, labels) bool. As the true label is in the set with a
        chance of 1 - alpha, the common ancestor holds for the cell with at least that chance.
    probabilities
        Probability of each label, (cells, labels).

    Returns
    -------
    ids, probabilities
        Term of each cell, ``""`` where a label left has no term or they share hardly more
        than being cells, and the summed probability of all labels that are kinds of it.
    """
    ids, summed = np.full(len(sets), "", dtype=object), np.zeros(len(sets))
    patterns, rows = np.unique(sets, axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        left = [terms[int(column)] for column in np.flatnonzero(pattern)]
        known = [term for term in left if term is not None]
        term = ontology.common(known) if known and len(known) == len(left) else ROOT
        if not ontology.says_something(term):
            continue
        below = [t is not None and term in ontology.ancestors(t) for t in terms]
        cells = np.flatnonzero(rows.ravel() == number)
        ids[cells] = term
        summed[cells] = probabilities[np.ix_(cells, np.flatnonzero(below))].sum(axis=1)
    return ids, summed
