"""Geneformer's ranks, to the last bit of its arithmetic, and its dictionary of renamed genes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pancyte.corpus.genes import Match, match
from pancyte.corpus.naming import clean
from pancyte.tokenizers.packing import Rows, offsets_of
from pancyte.tokenizers.rank import RankTokenizer

ALIASES = "aliases"
"""Column of the vocabulary with the other Ensembl ids of a gene, separated by blanks."""


class GeneformerTokenizer(RankTokenizer):
    """Each cell becomes its genes in falling order of count / total · 10⁴ / corpus median.

    Rank-value encoding as published (Theodoris et al., Nature 2023), in double precision and in
    the published order of operations. Exact ties go to the lower feature id; the published sort
    leaves them in any order. Where the vocabulary has a column ``aliases``, as for V2, Ensembl ids
    are first collapsed: written in capitals, old ids replaced, counts of the same gene summed.
    """

    name = "geneformer"

    def matched(self, features: pd.DataFrame) -> Match:
        """Find each feature in the vocabulary, through the ids a gene had before."""
        table = self.vocabulary.table
        found = match(features, table.drop(columns=ALIASES, errors="ignore"))
        if ALIASES not in table:
            return found
        other = _collapsed(features, table)
        better = other.overlap_of_vocabulary >= found.overlap_of_vocabulary
        return other if better and other.overlap_of_vocabulary else found

    def pack(self, rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Order each cell's features and number them."""
        lengths = rows.stops - rows.starts
        cell = np.repeat(np.arange(len(lengths)), lengths)
        place = np.arange(lengths.sum()) - np.repeat(offsets_of(lengths)[:-1], lengths)
        at = np.repeat(rows.starts, lengths) + place
        ids, totals = rows.ids[at], np.repeat(self._totals(rows), lengths)
        score = rows.counts[at] / totals * self.config.target_sum / self.medians[ids]
        order = np.lexsort((ids, -score, cell))
        kept = place < self.config.max_length
        offsets = offsets_of(np.minimum(lengths, self.config.max_length))
        return ids[order][kept].astype(np.int32), place[kept].astype(np.float32), offsets

    def _totals(self, rows: Rows) -> np.ndarray:
        """Recover each cell's total count; totals of whole counts exactly."""
        totals = self.config.target_sum / rows.scale
        whole = np.rint(totals)
        return np.where(np.isclose(totals, whole, rtol=1e-12, atol=0.0), whole, totals)


def _collapsed(features: pd.DataFrame, table: pd.DataFrame) -> Match:
    """Match the Ensembl ids of the features through the vocabulary's aliases."""
    rows = pd.Series(np.arange(len(table)), index=table.index)
    others = table[ALIASES].str.split().explode().dropna()
    known = pd.concat([rows, rows.reindex(others.index).set_axis(others.to_numpy())])
    known = known[~known.index.duplicated()]
    best = Match(np.full(len(features), -1), "none", 0.0, 0.0, len(table))
    for column in ("index", "ensembl_id"):
        if column != "index" and column not in features:
            continue
        names = clean(features.index if column == "index" else features[column]).str.upper()
        columns = known.reindex(names).fillna(-1).to_numpy(np.int64)
        hits = columns[columns >= 0]
        share = len(np.unique(hits)) / max(1, len(table))
        if share > best.overlap_of_vocabulary:
            of_data = len(hits) / max(1, len(columns))
            naming = f"{column} ↔ Ensembl ids, old ones included"
            best = Match(columns, naming, of_data, share, len(table))
    return best
