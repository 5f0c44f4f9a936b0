import numpy as np

from pancyte.tokenizers.count_rank import CountRankTokenizer
from pancyte.tokenizers.tokenizer import TokenizerConfig


def test_the_highest_counts_come_first(cells):
    tokenizer = CountRankTokenizer(TokenizerConfig(max_length=50)).fit(cells)
    tokens = tokenizer(cells)
    names = tokenizer.vocabulary.table.index
    dense = cells.counts.toarray()[:, cells.features.index.get_indexer(names)]
    for row in range(0, len(cells), 9):
        ids = tokens.ids[tokens.offsets[row] : tokens.offsets[row + 1]].numpy()
        expected = np.argsort(-dense[row], kind="stable")[: len(ids)]
        np.testing.assert_array_equal(ids, expected)
