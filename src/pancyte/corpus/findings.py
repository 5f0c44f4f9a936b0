"""What was found out about a set of cells, in one line, in a few, or for machines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

SCHEMA = 1
_NAMES = {"ensembl": "Ensembl ids", "symbol": "symbols", "numeric": "numeric ids"}
_OTHERS = {"ensembl_id": "Ensembl ids", "symbol": "symbols"}


@dataclass(frozen=True)
class Coverage:
    """How well a model's vocabulary and a set of cells fit.

    Attributes
    ----------
    model, species
        Name of the model, and the species of its genes.
    genes
        Size of its vocabulary.
    shared, detected
        How many genes with a count it knows, of how many.
    counts
        Fraction of all counts that it reads; None where there are no counts.
    overlap
        What the overlap gate judges by, 0 to 1 (`pancyte.corpus.genes.Overlap`).
    verdict
        ``"fits"``, ``"poor"`` (a warning) or ``"refused"``.
    naming
        Which names agreed, data ↔ vocabulary.
    """

    model: str
    species: str
    genes: int
    shared: int
    detected: int
    counts: float | None
    overlap: float
    verdict: str
    naming: str

    def line(self) -> str:
        """Say it in one line."""
        share = "" if self.counts is None else f", {self.counts:.0%} of the counts"
        return (
            f"{self.model} ({self.species}, {self.genes:,} genes): {self.verdict}; knows "
            f"{self.shared:,} of {self.detected:,} detected genes{share}"
        )


@dataclass(frozen=True)
class Findings:
    """What `pancyte.corpus.checks.inspect` found out about an AnnData.

    Attributes
    ----------
    cells, genes
        Shape of the matrix that holds the counts, or else of X.
    zeros
        Fraction of that matrix that is zero.
    species
        Common name, ``"mixed"`` or ``"unknown"``.
    naming
        What the features' index holds: ``"ensembl"``, ``"symbol"`` or ``"numeric"``.
    other_names
        Columns of ``var`` with the features' other names.
    counts_in
        ``"X"``, ``"layers['counts']"``, ``"raw"`` or None.
    values
        What the numbers are, in words.
    target_sum
        Total per cell before the logarithm, if X is normalised to one.
    matrices
        For each matrix that was looked at, what it was recognised as, in words.
    labels, batches
        Columns of ``obs`` that look like cell types, and like technical or biological batches,
        with their number of levels.
    empty_cells, empty_genes, duplicate_genes, duplicate_cells
        How many.
    notices
        What a user should know, one sentence each.
    would
        What a command that needs counts would do with them.
    coverage
        How well each model fits that was asked about.
    """

    cells: int
    genes: int
    zeros: float
    species: str
    naming: str
    other_names: dict[str, str]
    counts_in: str | None
    values: str
    target_sum: float | None
    matrices: dict[str, str]
    labels: dict[str, int]
    batches: dict[str, int]
    empty_cells: int
    empty_genes: int
    duplicate_genes: int
    duplicate_cells: int
    notices: tuple[str, ...]
    would: str
    coverage: tuple[Coverage, ...] = field(default=())

    def line(self) -> str:
        """Say it in one line."""
        where = (
            f"{self.values} in {self.counts_in}" if self.counts_in else f"no counts: {self.values}"
        )
        return " · ".join(
            [
                f"{self.cells:,} cells × {self.genes:,} genes",
                self.species if self.species != "unknown" else "species unknown",
                self._naming(),
                where,
                f"labels: {', '.join(self.labels) or 'none'}",
                f"batches: {', '.join(self.batches) or 'none'}",
            ]
        )

    def report(self) -> list[str]:
        """Return everything for people, one fact a line, then the notices."""
        return [f"{name:8s} {fact}" for name, fact in self._facts()]

    def _facts(self) -> Iterator[tuple[str, str]]:
        yield "size", f"{self.cells:,} cells × {self.genes:,} genes, {self.zeros:.1%} zeros"
        yield "species", self.species
        yield "genes", self._naming()
        for place, words in self.matrices.items():
            yield ("counts" if place == self.counts_in else "values"), f"{place}: {words}"
        yield "labels", _levels(self.labels)
        yield "batches", _levels(self.batches)
        yield "empty", f"{self.empty_cells:,} cells, {self.empty_genes:,} genes"
        repeated = f"{self.duplicate_genes:,} gene names, {self.duplicate_cells:,} cell names"
        yield "repeated", repeated
        for fit in self.coverage:
            yield "model", fit.line()
        for notice in self.notices:
            yield "notice", notice
        yield "would", self.would

    def as_dict(self) -> dict[str, Any]:
        """Return everything for JSON, with the schema's version."""
        return {"schema": SCHEMA, **asdict(self)}

    def _naming(self) -> str:
        also = [f"{_OTHERS[kind]} in var[{column!r}]" for kind, column in self.other_names.items()]
        return _NAMES[self.naming] + (f" ({', '.join(also)})" if also else "")


def _levels(columns: dict[str, int]) -> str:
    return ", ".join(f"{name} ({levels:,})" for name, levels in columns.items()) or "none found"
