import numpy as np
import pandas as pd
import pytest
import torch

from pancyte.corpus.identity import positions
from pancyte.errors import UsageError
from pancyte.tokenizers.genome import PLACE, GenomeConfig, GenomeTokenizer, genome_order
from pancyte.tokenizers.vocabulary import Vocabulary


@pytest.fixture
def fitted(cells):
    return GenomeTokenizer(GenomeConfig(max_length=200)).fit(cells)


def test_sentences_follow_the_genome(fitted, cells):
    tokens = fitted(cells)
    names = fitted.vocabulary.table.index
    found = positions(names, "human")
    for row in range(0, len(cells), 10):
        ids = tokens.ids[tokens.offsets[row] : tokens.offsets[row + 1]].numpy()
        here = found.iloc[ids]
        known = here[here["chromosome"] != ""]
        for _, genes in known.groupby("chromosome", sort=False):
            assert genes["start"].is_monotonic_increasing
        runs = known["chromosome"].ne(known["chromosome"].shift()).sum()
        assert runs == known["chromosome"].nunique(), "a chromosome comes twice"
        assert len(known) == (here["chromosome"] != "").cumprod().sum(), "unknown genes come last"


def test_a_gene_is_drawn_as_often_as_its_logged_expression_says(cells):
    """Over many seeds, the share of draws of each gene of one cell is its share of log1p."""
    one = cells.select(np.array([int(np.argmax(cells.counts.getnnz(axis=1)))]))
    total = float(one.counts.sum())
    vocabulary = GenomeTokenizer(GenomeConfig(max_length=300)).fit(one).vocabulary
    drawn = np.zeros(len(vocabulary))
    for seed in range(200):
        tokenizer = GenomeTokenizer(GenomeConfig(max_length=300, seed=seed), vocabulary)
        drawn += np.bincount(tokenizer(one).ids.numpy(), minlength=len(vocabulary))
    names = vocabulary.table.index
    counts = one.counts.toarray()[0, one.features.index.get_indexer(names)]
    share = np.log1p(counts * 1e4 / total)
    expected = share / share.sum() * drawn.sum()
    # chi-squared of as many genes: mean is the number of genes, variance twice that
    genes = len(names)
    statistic = ((drawn - expected) ** 2 / expected).sum()
    assert abs(statistic - genes) < 5 * np.sqrt(2 * genes)


def test_a_cell_has_as_many_draws_as_genes_and_never_another_gene(fitted, cells):
    tokens = fitted(cells)
    names = fitted.vocabulary.table.index
    dense = cells.counts.toarray()[:, cells.features.index.get_indexer(names)]
    np.testing.assert_array_equal(tokens.lengths.numpy(), np.minimum((dense > 0).sum(1), 200))
    assert (dense[tokens.cell_index.numpy(), tokens.ids.numpy()] > 0).all()
    places = torch.arange(len(tokens.ids)) - tokens.offsets[:-1][tokens.cell_index]
    torch.testing.assert_close(tokens.values, places.float())


def test_the_order_is_kept_with_the_vocabulary(fitted, tmp_path):
    fitted.vocabulary.save(tmp_path / "vocabulary.tsv")
    back = Vocabulary.load(tmp_path / "vocabulary.tsv")
    np.testing.assert_array_equal(back.table[PLACE], fitted.vocabulary.table[PLACE])


def test_genes_that_join_later_come_last(fitted, cells):
    table = fitted.vocabulary.table.copy()
    table.iloc[[0, 5], table.columns.get_loc(PLACE)] = np.nan
    tokens = GenomeTokenizer(fitted.config, Vocabulary(table))(cells)
    for row in range(0, len(cells), 10):
        ids = tokens.ids[tokens.offsets[row] : tokens.offsets[row + 1]].numpy()
        late = np.isin(ids, [0, 5])
        assert not late[: len(ids) - late.sum()].any()


def test_order_of_a_few_genes_whose_places_are_known():
    names = ["XIST", "CD3D", "no such gene", "TP53", "A1BG", "ACTB", "HLA-A"]
    order = genome_order(pd.DataFrame(index=names))
    # chromosomes 6 (a name by which the species is told), 7, 11, 17, 19, X, none
    assert [names[i] for i in np.argsort(order)] == [
        *("HLA-A", "ACTB", "CD3D", "TP53", "A1BG", "XIST", "no such gene"),
    ]


def test_species_without_a_table_are_ordered_by_name():
    order = genome_order(pd.DataFrame(index=["gene-b", "gene-a", "gene-c"]))
    assert order.tolist() == [1, 0, 2]


def test_a_seed_is_not_negative():
    with pytest.raises(UsageError, match="seed"):
        GenomeConfig(seed=-1)
