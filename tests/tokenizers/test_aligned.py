"""CSR minibatches of a source whose features were matched once."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_matrix

from pancyte.errors import InputError
from pancyte.tokenizers.bins import BinsTokenizer
from pancyte.tokenizers.continuous import ContinuousTokenizer
from pancyte.tokenizers.rank import RankTokenizer
from pancyte.tokenizers.tokenizer import TokenizerConfig
from pancyte.tokenizers.vocabulary import Vocabulary

KINDS = [BinsTokenizer, ContinuousTokenizer, RankTokenizer]


def same(one, two):
    assert torch.equal(one.ids, two.ids)
    assert torch.equal(one.values, two.values)
    assert torch.equal(one.offsets, two.offsets)


def tokenised(tokenizer, cells, **given):
    """Align, then read the cells in minibatches of 7."""
    tokenise = tokenizer.aligned(cells.features)
    parts = []
    for start in range(0, len(cells), 7):
        counts = cells.counts[start : start + 7]
        parts.append(tokenise(counts.indptr, counts.indices, counts.data, **given))
    return parts


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64, np.float32])
def test_minibatches_equal_the_whole(kind, dtype, cells):
    few = replace(cells, counts=cells.counts.minimum(255).astype(dtype))
    tokenizer = kind(kind.Config(max_length=100)).fit(few)
    whole = tokenizer(few)
    for number, part in enumerate(tokenised(tokenizer, few)):
        rows = torch.arange(7 * number, min(7 * number + 7, len(cells)))
        same(part, whole.select(rows))


@pytest.mark.parametrize("kind", KINDS)
def test_features_that_share_an_id_are_added_up(kind, cells):
    """Splitting a gene over two columns, far apart and in small integers, changes nothing."""
    counts = cells.counts.minimum(255).toarray().astype(np.int64)
    tokenizer = kind().fit(replace(cells, counts=csr_matrix(counts)))
    first = counts // 2
    halves = csr_matrix(np.hstack([first, counts - first]).astype(np.uint8))
    doubled = pd.concat([cells.features, cells.features])
    split = replace(cells, counts=halves, features=doubled)
    assert (counts[:, :] > 127).any()
    expected = tokenizer(replace(cells, counts=csr_matrix(counts)))
    same(tokenizer.aligned(doubled)(halves.indptr, halves.indices, halves.data), expected)
    same(tokenizer(split), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_features_count_for_depth_alone(kind, cells):
    table = ContinuousTokenizer().fit(cells).vocabulary.table
    tokenizer = kind(vocabulary=Vocabulary(table.iloc[::-3]))
    tokens = tokenizer(cells)
    projected, _ = tokenizer.vocabulary.align(cells)
    totals = np.asarray(cells.counts.sum(axis=1)).ravel()
    tokenise = tokenizer.aligned(tokenizer.vocabulary.table)
    same(tokenise(projected.indptr, projected.indices, projected.data, totals=totals), tokens)
    assert int(tokens.ids.max()) < len(tokenizer.vocabulary)


def test_context_codes_are_passed_on(cells):
    config = TokenizerConfig(context={"assay": ["scRNA"]})
    tokenizer = ContinuousTokenizer(config).fit(cells)
    column = pd.DataFrame({"assay": ["scRNA", "snRNA"] * (len(cells) // 2)})
    codes = tokenizer.codes(column, len(cells))
    tokenise = tokenizer.aligned(cells.features)
    arrays = cells.counts.indptr, cells.counts.indices, cells.counts.data
    assert tokenise(*arrays, context=codes).context["assay"].tolist() == [1, 0] * (len(cells) // 2)
    assert not tokenise(*arrays).context["assay"].any()


@pytest.mark.parametrize("kind", KINDS)
def test_no_cells_and_empty_cells(kind, cells):
    tokenise = kind().fit(cells).aligned(cells.features)
    none = tokenise(np.zeros(1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))
    assert none.offsets.tolist() == [0]
    empty = tokenise(np.zeros(3, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))
    assert empty.offsets.tolist() == [0, 0, 0]


def test_arrays_that_do_not_fit_are_refused(cells):
    tokenise = RankTokenizer().fit(cells).aligned(cells.features)
    counts = cells.counts
    with pytest.raises(InputError, match="one CSR matrix"):
        tokenise(counts.indptr[:-1], counts.indices, counts.data)
    with pytest.raises(InputError, match="aligned to"):
        tokenise(counts.indptr, counts.indices + counts.shape[1], counts.data)


def test_foreign_features_are_refused(cells):
    tokenizer = RankTokenizer().fit(cells)
    strange = pd.DataFrame(index=[f"PEAK{i}" for i in range(500)])
    with pytest.raises(InputError, match="Only 0 of 500 detected genes of the atlas"):
        tokenizer.aligned(strange, name="the atlas")


@pytest.mark.parametrize("kind", KINDS)
def test_fit_table_takes_over_what_was_fitted(kind, cells):
    config = kind.Config(features=500)
    fitted = kind(config).fit(cells)
    again = kind(config).fit_table(fitted.vocabulary.table)
    same(again(cells), fitted(cells))


def test_impossible_tables_are_refused(cells):
    table = RankTokenizer().fit(cells).vocabulary.table
    with pytest.raises(InputError, match="no column 'median'"):
        RankTokenizer().fit_table(table.drop(columns="median"))
    with pytest.raises(InputError, match="not above 0"):
        RankTokenizer().fit_table(table.assign(median=0.0))
    with pytest.raises(InputError, match="twice"):
        RankTokenizer().fit_table(pd.concat([table, table]))
    with pytest.raises(InputError, match="setting is 5"):
        RankTokenizer(TokenizerConfig(features=5)).fit_table(table)
