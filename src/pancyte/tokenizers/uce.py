"""UCE's sentences: 1,024 draws from a cell's genes, chromosome by chromosome, with their marks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from pancyte.corpus.genes import Match, match
from pancyte.corpus.identity import SPECIES, positions
from pancyte.corpus.naming import guess_species
from pancyte.tokenizers.binning import uniforms_of
from pancyte.tokenizers.genome import GenomeConfig
from pancyte.tokenizers.packing import Rows, offsets_of
from pancyte.tokenizers.tokenizer import Tokenizer

CHROMOSOME, START = "chromosome_code", "start"
"""Columns of the vocabulary: number of a gene's chromosome, and where on it the gene begins."""
END = "<end of chromosome>"


@dataclass(frozen=True)
class UCEConfig(GenomeConfig):
    """How genes are drawn; further settings as in `GenomeConfig`.

    Attributes
    ----------
    draws
        How many genes a sentence has.
    max_length
        Longest sentence with its marks; nothing is cut in UCE, whose sentences fit.
    """

    draws: int = 1024
    max_length: int = 1535


class UCETokenizer(Tokenizer):
    """Each cell becomes 1,024 draws from its genes, by chromosome, in the order of the genome.

    As UCE's published code (Rosen et al., bioRxiv 2023): genes are drawn with replacement in
    proportion to log1p of their raw counts, chromosomes come in random order, each between two
    marks, which are rows of the vocabulary that no gene matches. A token's value is its place. The
    draws depend on the seed and the cell's contents, not on the cells before it.
    """

    name = "uce"
    value_kind = "rank"
    Config = UCEConfig
    config: UCEConfig

    def fit_table(self, table: pd.DataFrame) -> Self:
        """Take over a vocabulary, look up where its genes are, and add the marks."""
        names, species = pd.Series(table.index.astype(str)), guess_species(table)
        if species in SPECIES:
            found = positions(names, species)
            where, starts = found["chromosome"].to_numpy(str), found["start"].fillna(0)
        else:
            where, starts = np.full(len(names), ""), pd.Series(np.zeros(len(names)))
        codes, chromosomes = pd.factorize(where, sort=True)
        told = table.assign(
            **{CHROMOSOME: codes.astype(np.float64), START: starts.to_numpy(np.float64)}
        )
        return super().fit_table(with_marks(told, [str(name) for name in chromosomes]))

    def matched(self, features: pd.DataFrame) -> Match:
        """Find each feature in the vocabulary, whatever its case, if that finds more."""
        found = super().matched(features)
        upper = features.rename(index=str.upper)
        for name in upper.columns.intersection(["symbol"]):
            upper[name] = upper[name].astype(str).str.upper()
        other = match(upper, self.vocabulary.table)
        return other if other.overlap_of_vocabulary > found.overlap_of_vocabulary else found

    def pack(self, rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draw each cell's genes, sort them along the genome, and mark the chromosomes."""
        table = self.vocabulary.table
        places = (
            table[CHROMOSOME].to_numpy(np.int64),
            table[START].to_numpy(np.float64),
            len(table) - 1 - int(table[CHROMOSOME].max()) - 1,
        )
        uniforms = uniforms_of(rows.ids, rows.counts, rows.starts, rows.stops, self.config.seed)
        sentences = []
        for start, stop in zip(rows.starts, rows.stops, strict=True):
            if start == stop:
                sentences.append(np.empty(0, np.int64))
                continue
            rng = np.random.default_rng([self.config.seed, int(uniforms[start] * 2**53)])
            here = rows.ids[start:stop], rows.counts[start:stop]
            sentence = self._sentence(*here, places, rng)
            sentences.append(sentence[: self.config.max_length])
        offsets = offsets_of(np.array([len(each) for each in sentences], np.int64))
        order = [np.arange(len(each)) for each in sentences]
        ids = np.concatenate(sentences) if sentences else np.empty(0)
        numbers = np.concatenate(order) if order else np.empty(0)
        return ids.astype(np.int32), numbers.astype(np.float32), offsets

    def _sentence(
        self,
        ids: np.ndarray,
        counts: np.ndarray,
        places: tuple[np.ndarray, np.ndarray, int],
        rng: np.random.Generator,
    ) -> np.ndarray:
        codes, starts, marks = places
        weights = np.log1p(counts.astype(np.float64))
        drawn = ids[rng.choice(len(ids), self.config.draws, p=weights / weights.sum())]
        chromosomes = np.unique(codes[drawn])
        rng.shuffle(chromosomes)
        turn = np.empty(codes.max() + 1, np.int64)
        turn[chromosomes] = np.arange(len(chromosomes))
        drawn = drawn[np.lexsort((drawn, starts[drawn], turn[codes[drawn]]))]
        # a mark before the first and one behind the last gene of each chromosome
        bounds = np.flatnonzero(np.diff(turn[codes[drawn]], prepend=-1, append=len(chromosomes)))
        return np.insert(
            drawn.astype(np.int64),
            np.repeat(bounds, 2)[1:-1],
            np.stack([marks + chromosomes, np.full(len(chromosomes), len(codes) - 1)], 1).ravel(),
        )


def with_marks(table: pd.DataFrame, chromosomes: list[str]) -> pd.DataFrame:
    """Put a row for each chromosome, and one for the end of any, behind a table of genes.

    Parameters
    ----------
    table
        Genes, with `CHROMOSOME` and `START`.
    chromosomes
        Names, in the order of their codes.
    """
    names = [*(f"<chromosome {name or 'unknown'}>" for name in chromosomes), END]
    marks = pd.DataFrame(index=pd.Index(names, name="feature"))
    marks[CHROMOSOME] = np.minimum(np.arange(len(names)), len(chromosomes) - 1.0)
    marks = marks.assign(**{START: -1.0, "median": 1.0})
    text = [name for name in ("symbol", "ensembl_id") if name in table]
    return pd.concat([table, marks.assign(**dict.fromkeys(text, ""))]).rename_axis("feature")
