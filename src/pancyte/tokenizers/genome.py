"""Sampled genes along the genome: a cell as a sentence of draws, more of what is expressed more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numba
import numpy as np
import pandas as pd

from pancyte.corpus.identity import SPECIES, positions
from pancyte.corpus.naming import guess_species
from pancyte.errors import UsageError
from pancyte.tokenizers.binning import uniforms_of
from pancyte.tokenizers.packing import Rows, offsets_of
from pancyte.tokenizers.tokenizer import Tokenizer, TokenizerConfig

PLACE = "genome_order"
"""Column of the vocabulary: where a gene stands among the others along the genome."""


@dataclass(frozen=True)
class GenomeConfig(TokenizerConfig):
    """How genes are drawn; further settings as in `TokenizerConfig`.

    Attributes
    ----------
    seed
        Seed of the draws; with the cell's own contents it decides, not the order of cells.
    """

    seed: int = 0

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise UsageError(f"seed is {self.seed}.", fix="Give 0 or more.")


class GenomeTokenizer(Tokenizer):
    """Each cell becomes draws from its genes, in proportion to log1p, in the order of the genome.

    The sentence of UCE (Rosen et al., bioRxiv 2023): a gene that is expressed more is drawn more
    often, and how often is all that tells its amount; a token's value is its place in the
    sentence. UCE always draws 1,024 genes; here a cell has as many draws as it expresses genes, and
    `max_length` at most. Genes whose position is not known come last, by name, and so do all genes
    of species without a gene table.
    """

    name = "genome"
    value_kind = "rank"
    Config = GenomeConfig
    config: GenomeConfig

    def fit_table(self, table: pd.DataFrame) -> Self:
        """Take over a vocabulary, and look up where its genes are."""
        return super().fit_table(table.assign(**{PLACE: genome_order(table).astype(np.float64)}))

    def pack(self, rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draw each cell's genes with replacement, sort them along the genome, number them."""
        offsets = offsets_of(np.minimum(rows.stops - rows.starts, self.config.max_length))
        ids = np.empty(offsets[-1], np.int32)
        places = np.empty(offsets[-1], np.float32)
        uniforms = uniforms_of(rows.ids, rows.counts, rows.starts, rows.stops, self.config.seed)
        # a gene that joined the vocabulary later has no place, and comes last
        ranked = self.vocabulary.table[PLACE].rank(method="first", na_option="bottom")
        order = ranked.to_numpy(np.int64) - 1
        cells = rows.ids, rows.counts, rows.starts, rows.stops, rows.scale
        _drawn(cells, uniforms, order, np.argsort(order), offsets, ids, places)
        return ids, places, offsets


def genome_order(table: pd.DataFrame) -> np.ndarray:
    """Number a vocabulary's features along the genome: chromosome by chromosome, by their start.

    Parameters
    ----------
    table
        Index of names, which may be symbols or Ensembl ids.

    Returns
    -------
    The place of each feature, int64, (features,).
    """
    names = pd.Series(table.index.astype(str))
    species = guess_species(table)
    if species in SPECIES:
        found = positions(names, species)
    else:
        found = pd.DataFrame({"chromosome": "", "start": 0}, index=names)
    chromosome = found["chromosome"].str.removeprefix("chr").to_numpy(str)
    number = pd.to_numeric(pd.Series(chromosome), errors="coerce").to_numpy(np.float64)
    # 1 … 22, then X and Y, then what is not known
    late = np.where(chromosome == "", np.inf, 1e3)
    start = pd.to_numeric(found["start"]).fillna(0).to_numpy(np.float64)
    keys = (names.to_numpy(str), start, chromosome, np.where(np.isnan(number), late, number))
    places = np.empty(len(table), np.int64)
    places[np.lexsort(keys)] = np.arange(len(table))
    return places


@numba.njit(nogil=True, cache=True)
def _drawn(  # type: ignore[no-untyped-def]
    cells, uniforms, order, at_place, offsets, found, places
) -> None:
    ids, counts, starts, stops, scale = cells
    for row in range(len(starts)):
        features = ids[starts[row] : stops[row]]
        amounts, numbers = counts[starts[row] : stops[row]], uniforms[starts[row] : stops[row]]
        until = np.empty(len(features), np.float64)
        total = 0.0
        for place in range(len(features)):
            total += np.log1p(amounts[place] * scale[row])
            until[place] = total
        here = slice(offsets[row], offsets[row + 1])
        sentence, numbered = found[here], places[here]
        drawn = np.empty(len(sentence), np.int64)
        for place in range(len(sentence)):
            chosen = np.searchsorted(until, numbers[place] * total, "right")
            drawn[place] = order[features[min(chosen, len(features) - 1)]]
        drawn.sort()
        for place in range(len(sentence)):
            sentence[place] = at_place[drawn[place]]
            numbered[place] = place
