from dataclasses import replace

import numpy as np
import pytest
import torch

from pancyte.backbones.transformer import Transformer, TransformerConfig
from pancyte.shapes import COUNT_SCALE
from pancyte.tokenizers.continuous import ContinuousTokenizer
from pancyte.tokenizers.rank import RankTokenizer
from pancyte.tokenizers.tokenizer import TokenizerConfig


def with_scales(tokens, cells):
    totals = np.asarray(cells.counts.sum(axis=1), np.float64).ravel()
    scales = torch.from_numpy((1e4 / totals).astype(np.float32))
    return replace(tokens, context={**tokens.context, COUNT_SCALE: scales})


@pytest.fixture
def counted(cells):
    """Tokens that tell their counts, the vocabulary's size, and the true counts."""
    tokenizer = ContinuousTokenizer(TokenizerConfig(max_length=60)).fit(cells)
    tokens = with_scales(tokenizer(cells), cells)
    names = tokenizer.vocabulary.table.index
    columns = cells.features.index.get_indexer(names)
    assert (columns >= 0).all()
    dense = cells.counts.toarray()[:, columns]
    return tokens, len(names), dense[tokens.cell_index.numpy(), tokens.ids.numpy()]


@pytest.fixture
def ranked(cells):
    tokenizer = RankTokenizer(TokenizerConfig(max_length=60)).fit(cells)
    return tokenizer(cells), len(tokenizer.vocabulary)


def network(features, kind="continuous", depth=2):
    return Transformer(TransformerConfig(features, kind, 60, depth=depth, width=32))


def losses(objective, net, tokens, steps=6):
    """Train on one corruption of a few cells; the summed loss before each step."""
    few = tokens.select(torch.arange(0, len(tokens), 4))
    seen, target = objective.corrupt(few, torch.Generator().manual_seed(0))
    optimizer = torch.optim.Adam([*net.parameters(), *objective.parameters()], lr=2e-3)
    curve = []
    for _ in range(steps):
        loss = torch.stack(list(objective.loss(net(seen), target).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        curve.append(loss.item())
    return curve
