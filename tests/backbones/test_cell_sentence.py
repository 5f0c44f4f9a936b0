import pytest
import torch

from pancyte.backbones.cell_sentence import CellSentence, CellSentenceConfig
from pancyte.errors import UsageError
from pancyte.shapes import Tokens
from pancyte.tokenizers.continuous import ContinuousTokenizer
from pancyte.tokenizers.tokenizer import TokenizerConfig


@pytest.fixture
def read(cells):
    tokenizer = ContinuousTokenizer(TokenizerConfig(max_length=60)).fit(cells)
    features = len(tokenizer.vocabulary)

    def read(**changes):
        config = CellSentenceConfig(features, "continuous", 60, depth=2, width=32, **changes)
        return tokenizer(cells).select(torch.arange(10)), CellSentence(config)

    return read


def test_company_counts_in_training_only(read):
    tokens, network = read(alone=0.0)
    few = tokens.select(torch.arange(4))
    network.eval()
    torch.testing.assert_close(network(tokens).cls[:4], network(few).cls, atol=1e-5, rtol=1e-5)
    network.train()
    gap = (network(tokens).cls[:4] - network(few).cls).abs().amax(dim=1)
    assert gap.min() > 1e-6


def test_cells_may_come_in_any_order(read):
    tokens, network = read(alone=0.0)
    network.train()
    order = torch.randperm(len(tokens), generator=torch.Generator().manual_seed(0))
    shuffled = network(tokens.select(order))
    torch.testing.assert_close(shuffled.cls, network(tokens).cls[order], atol=1e-5, rtol=1e-5)


def test_cells_that_are_read_alone_in_training_are_as_in_use(read):
    tokens, network = read(alone=1.0)
    together = network.train()(tokens)
    alone = network.eval()(tokens)
    torch.testing.assert_close(together.cls, alone.cls)
    torch.testing.assert_close(together.tokens, alone.tokens)


def test_a_cell_without_tokens_and_wrong_settings(read):
    tokens, network = read()
    bounds = torch.zeros(3, dtype=torch.int64)
    empty = Tokens(tokens.ids[:0], tokens.values[:0], bounds, tokens.context)
    hidden = network.eval()(empty)
    assert hidden.cls.shape == (2, 32)
    assert hidden.cls.isfinite().all()
    with pytest.raises(UsageError, match="alone"):
        read(alone=1.5)
    with pytest.raises(UsageError, match="left out"):
        network(tokens, skip=3)
