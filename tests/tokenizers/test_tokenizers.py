import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_matrix

from pancyte import registry
from pancyte.errors import UsageError
from pancyte.shapes import Cells
from pancyte.tokenizers.continuous import ContinuousTokenizer
from pancyte.tokenizers.rank import RankTokenizer
from pancyte.tokenizers.tokenizer import TokenizerConfig
from pancyte.tokenizers.vocabulary import Vocabulary

KINDS = [ContinuousTokenizer, RankTokenizer]


def cell(tokens, row):
    start, stop = tokens.offsets[row], tokens.offsets[row + 1]
    return dict(
        zip(tokens.ids[start:stop].tolist(), tokens.values[start:stop].tolist(), strict=True)
    )


def test_continuous_values_follow_the_formula(cells):
    tokenizer = ContinuousTokenizer(TokenizerConfig(max_length=10**6)).fit(cells)
    tokens = tokenizer(cells)
    for row in (0, 7, len(cells) - 1):
        counts = cells.counts[row].toarray().ravel().astype(float)
        expected = np.log1p(counts / counts.sum() * 1e4)
        names = tokenizer.vocabulary.table.index
        found = pd.Series({names[i]: v for i, v in cell(tokens, row).items()})
        wanted = pd.Series(expected, cells.features.index)
        wanted = wanted[wanted > 0]
        assert set(found.index) == set(wanted.index)
        np.testing.assert_allclose(found[wanted.index], wanted, rtol=1e-6)


def test_ranks_follow_the_published_order(cells):
    """An independent, per-cell reading of the published algorithm gives the same order."""
    tokenizer = RankTokenizer(TokenizerConfig(max_length=64)).fit(cells)
    tokens = tokenizer(cells)
    dense = cells.counts.toarray().astype(np.float64)
    normalised = dense / dense.sum(1, keepdims=True) * 1e4
    medians = np.array([np.median(c[c > 0]) if (c > 0).any() else 1.0 for c in normalised.T])
    by_name = {name: i for i, name in enumerate(cells.features.index)}
    column = np.array([by_name[name] for name in tokenizer.vocabulary.table.index])
    for row in range(0, len(cells), 17):
        score = (normalised[row, column] / medians[column]).astype(np.float32)
        order = np.lexsort((np.arange(len(score)), -score))
        expected = order[: min(64, int((score > 0).sum()))]
        start, stop = tokens.offsets[row], tokens.offsets[row + 1]
        assert tokens.ids[start:stop].tolist() == expected.tolist()
        assert tokens.values[start:stop].tolist() == list(range(len(expected)))


@pytest.mark.parametrize("kind", KINDS)
def test_gene_order_does_not_matter(kind, cells):
    tokenizer = kind(TokenizerConfig(max_length=100)).fit(cells)
    order = np.random.default_rng(0).permutation(len(cells.features))
    shuffled = Cells(cells.counts[:, order], cells.features.iloc[order], cells.obs, cells.context)
    one, two = tokenizer(cells), tokenizer(shuffled)
    assert torch.equal(one.ids, two.ids)
    assert torch.equal(one.values, two.values)


@pytest.mark.parametrize("kind", KINDS)
def test_cell_order_is_equivariant(kind, cells):
    tokenizer = kind(TokenizerConfig(max_length=100)).fit(cells)
    order = np.random.default_rng(1).permutation(len(cells))
    permuted = tokenizer(cells.select(order))
    expected = tokenizer(cells).select(torch.from_numpy(order))
    assert torch.equal(permuted.ids, expected.ids)
    assert torch.equal(permuted.values, expected.values)
    assert torch.equal(permuted.offsets, expected.offsets)


def test_truncation_keeps_what_stands_out(cells):
    whole = ContinuousTokenizer(TokenizerConfig(max_length=10**6)).fit(cells)
    short = ContinuousTokenizer(TokenizerConfig(max_length=32), whole.vocabulary)
    medians = whole.vocabulary.table["median"].to_numpy()
    everything, kept = cell(whole(cells), 3), cell(short(cells), 3)
    score = pd.Series({i: np.expm1(v) / medians[i] for i, v in everything.items()})
    assert len(kept) == 32
    assert list(kept) == sorted(kept)
    assert score[list(kept)].min() >= score.drop(list(kept)).max()


def test_totals_count_unknown_genes_too(cells):
    """A gene outside the vocabulary still takes its share of a cell's depth."""
    known = Vocabulary.union([cells]).table.index[:2000]
    small = cells.features.index.isin(known)
    part = Cells(cells.counts[:, small], cells.features[small], cells.obs, cells.context)
    tokenizer = ContinuousTokenizer(TokenizerConfig(max_length=10**6)).fit(part)
    whole = tokenizer(cells)
    counts = cells.counts[0].toarray().ravel().astype(float)
    expected = np.log1p(counts / counts.sum() * 1e4)
    names = tokenizer.vocabulary.table.index
    position = cells.features.index.get_indexer([names[i] for i in cell(whole, 0)])
    np.testing.assert_allclose(list(cell(whole, 0).values()), expected[position], rtol=1e-6)


def test_ties_go_to_the_lower_id():
    counts = csr_matrix(np.array([[2, 2, 2, 2], [1, 1, 1, 1]], dtype=np.int32))
    names = pd.DataFrame(index=pd.Index(["INS", "GCG", "SST", "PPY"]))
    cells = Cells(counts, names, pd.DataFrame(index=["a", "b"]))
    tokens = RankTokenizer(TokenizerConfig(max_length=3)).fit(cells)(cells)
    assert tokens.ids.tolist() == [0, 1, 2, 0, 1, 2]


def test_vocabulary_survives_its_file(cells, tmp_path):
    fitted = RankTokenizer().fit(cells).vocabulary
    fitted.save(tmp_path / "vocabulary.tsv")
    again = Vocabulary.load(tmp_path / "vocabulary.tsv")
    assert again.table.index.tolist() == fitted.table.index.tolist()
    assert (again.table["median"].to_numpy() == fitted.table["median"].to_numpy()).all()


def test_context_codes(cells):
    column = pd.Categorical(np.where(np.arange(len(cells)) % 2, "snRNA", "scRNA"))
    seen = Cells(cells.counts, cells.features, cells.obs, pd.DataFrame({"assay": column}))
    tokenizer = ContinuousTokenizer(TokenizerConfig(context={"assay": ["scRNA"]})).fit(seen)
    assert tokenizer(seen).context["assay"].tolist() == [1 - i % 2 for i in range(len(cells))]


def test_unfitted_tokenizer_says_so(cells):
    with pytest.raises(UsageError, match="not fitted"):
        RankTokenizer()(cells)


def test_registry_knows_them_and_suggests():
    assert registry.get("tokenizers", "rank") is RankTokenizer
    with pytest.raises(UsageError, match="Did you mean 'continuous'"):
        registry.get("tokenizers", "continous")


def test_median_is_of_nonzero_values(cells):
    table = ContinuousTokenizer().fit(cells).vocabulary.table
    dense = cells.counts.toarray().astype(np.float64)
    normalised = dense / dense.sum(1, keepdims=True) * 1e4
    for gene in table.index[::997]:
        column = normalised[:, cells.features.index.get_loc(gene)]
        assert table.loc[gene, "median"] == pytest.approx(np.median(column[column > 0]))
