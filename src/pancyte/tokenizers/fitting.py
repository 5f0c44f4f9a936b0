"""What is learned from a corpus: which features there are, their medians, which vary most."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix, vstack

from pancyte.errors import InputError
from pancyte.shapes import Cells
from pancyte.tokenizers.packing import nonzero_medians
from pancyte.tokenizers.variable import most_variable
from pancyte.tokenizers.vocabulary import Vocabulary


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
