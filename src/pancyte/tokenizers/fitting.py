"""What is learned from a corpus: which features there are, their medians, which vary most."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix, vstack

from pancyte.errors import InputError
from pancyte.shapes import Cells
from pancyte.store.corpus import Corpus
from pancyte.store.order import by_number
from pancyte.store.statistics import TARGET, statistics
from pancyte.store.stream import Stream
from pancyte.tokenizers.packing import nonzero_medians
from pancyte.tokenizers.variable import most_variable
from pancyte.tokenizers.vocabulary import Vocabulary

SAMPLE = 50_000


def feature_table(sets: Sequence[Cells], *, target_sum: float, features: int) -> pd.DataFrame:
    """Describe each feature of a corpus: its non-zero median and how often it is detected.

    Parameters
    ----------
    sets
        The corpus, in memory.
    target_sum
        Total to which each cell is scaled, over all measured features.
    features
        Keep this many most variable ones; 0 keeps all that are detected.

    Returns
    -------
    One row per feature, with ``median`` and ``detection``, as `Tokenizer.fit_table` takes it.
    """
    if not sum(map(len, sets)):
        raise InputError("There are no cells to fit a tokenizer on.", fix="Give some.")
    vocabulary = Vocabulary.union(sets)
    corpus = vstack([_normalised(cells, vocabulary, target_sum) for cells in sets], format="csr")
    table = vocabulary.table.assign(
        median=nonzero_medians(corpus),
        detection=corpus.getnnz(axis=0) / corpus.shape[0],
    )
    if 0 < features < len(table):
        origin = np.repeat(np.arange(len(sets)), [len(cells) for cells in sets])
        table = table[most_variable(corpus, origin, features)]
    return table


def corpus_table(
    corpus: Corpus,
    *,
    target_sum: float,
    features: int,
    rows: Sequence[np.ndarray | None] | None = None,
) -> pd.DataFrame:
    """Describe each feature of a corpus that need not fit in memory.

    Parameters
    ----------
    corpus
        The corpus.
    target_sum
        Total to which each cell is scaled, over all measured features.
    features
        Keep this many most variable ones, judged by at most 50,000 cells; 0 keeps all that are
        detected.
    rows
        For each dataset the rows to learn from, or None for all.

    Returns
    -------
    As `feature_table`; the medians are within 1 % of the exact ones.
    """
    found = statistics(corpus, rows=rows).table()
    table = corpus.features[["symbol"]].assign(
        median=found["median"] * target_sum / TARGET, detection=found["detection"]
    )
    seen = table["detection"].to_numpy() > 0
    if not seen.any():
        raise InputError("There are no counts to fit a tokenizer on.", fix="Give some cells.")
    if 0 < features < seen.sum():
        sample, origin = _sample(corpus, rows, target_sum)
        chosen = np.flatnonzero(seen)[most_variable(sample[:, seen], origin, features)]
        return table.iloc[chosen]
    return table[seen]


def _sample(
    corpus: Corpus, rows: Sequence[np.ndarray | None] | None, target_sum: float
) -> tuple[csr_matrix, np.ndarray]:
    """Draw cells from all datasets alike, scaled, with the number of each one's dataset."""
    drawn: list[csr_matrix] = []
    origin: list[np.ndarray] = []
    for tokens in Stream(corpus, rows=rows, cut=by_number(1024)).epoch():
        counts = tokens.counts(len(corpus.features))
        scale = target_sum / np.where(tokens.totals > 0, tokens.totals, 1.0)
        counts.data = counts.data * np.repeat(scale, np.diff(counts.indptr))
        drawn.append(counts)
        origin.append(tokens.parts)
        if sum(map(len, origin)) >= SAMPLE:
            break
    return vstack(drawn, format="csr"), np.concatenate(origin)


def check_table(table: pd.DataFrame, features: int) -> None:
    """Refuse a table that cannot be a fitted vocabulary.

    Raises
    ------
    InputError
        If a name repeats, the medians are missing or not positive, or there are too many rows.
    """
    if not table.index.is_unique:
        twice = table.index[table.index.duplicated()][0]
        raise InputError(f"The table names {twice!r} twice.", fix="Keep one row per feature.")
    if "median" not in table:
        raise InputError(
            f"The table has no column 'median', only {list(table.columns)}.",
            fix="Add each feature's median over the cells that express it, depth-normalised.",
        )
    wrong = ~(table["median"].to_numpy(np.float64) > 0)
    if wrong.any():
        raise InputError(
            f"{wrong.sum():,} medians are not above 0, that of {table.index[wrong][0]!r} is "
            f"{table['median'].to_numpy()[wrong][0]}.",
            fix="Take medians over the cells that express a feature, and 1 where none does.",
        )
    if 0 < features < len(table):
        raise InputError(
            f"The table has {len(table):,} features, the tokenizer's setting is {features:,}.",
            fix="Choose the most variable ones first, or set features to 0.",
        )


def _normalised(cells: Cells, vocabulary: Vocabulary, target_sum: float) -> csr_matrix:
    totals = np.asarray(cells.counts.sum(axis=1), dtype=np.float64).ravel()
    aligned, _ = vocabulary.align(cells)
    scale = target_sum / np.where(totals > 0, totals, 1.0)
    data = aligned.data * np.repeat(scale, np.diff(aligned.indptr))
    return csr_matrix((data, aligned.indices, aligned.indptr), shape=aligned.shape)
