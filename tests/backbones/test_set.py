from dataclasses import replace

import pytest
import torch

from pancyte.backbones.set import SetConfig, SetNetwork
from pancyte.errors import UsageError
from pancyte.shapes import HIDDEN_VALUE, offsets_of

from .test_transformer import some_tokens

LENGTHS = [7, 0, 3, 12, 1]


def network(**changes):
    return SetNetwork(SetConfig(50, "continuous", 30, **{"width": 16, **changes})).eval()


def unit(rows):
    return rows / (rows.square().mean(dim=1, keepdim=True) + 1e-6).sqrt()


def test_without_layers_a_cell_is_the_weighted_sum_of_its_genes():
    net, tokens = network(depth=0), some_tokens(LENGTHS)
    usual = torch.rand(50)
    net.tell_usual(usual)
    table = net.feature.weight
    sums = torch.zeros(len(LENGTHS), 16)
    for cell, (start, stop) in enumerate(zip(tokens.offsets, tokens.offsets[1:], strict=False)):
        for at in range(int(start), int(stop)):
            sums[cell] += tokens.values[at] * table[tokens.ids[at].long()]
    expected = unit(sums - usual @ table)
    torch.testing.assert_close(net(tokens).cls, expected, atol=1e-5, rtol=1e-5)


def test_a_withheld_value_adds_nothing_but_has_a_vector():
    net, tokens = network(), some_tokens([6, 4])
    hidden = torch.zeros(10, dtype=torch.bool)
    hidden[[1, 7]] = True
    seen = replace(tokens, values=tokens.values.masked_fill(hidden, HIDDEN_VALUE))
    short = replace(
        tokens,
        ids=tokens.ids[~hidden],
        values=tokens.values[~hidden],
        offsets=offsets_of(torch.tensor([5, 3])),
    )
    told, left = net(seen), net(short)
    torch.testing.assert_close(told.cls, left.cls)
    torch.testing.assert_close(told.tokens[~hidden], left.tokens)
    assert told.tokens[hidden].isfinite().all()


def test_who_may_see_all_sees_what_one_sum_gives():
    net, tokens = network(), some_tokens(LENGTHS)
    all_seen = replace(tokens, visible=tokens.lengths[tokens.cell_index])
    one, each = net(tokens), net(all_seen)
    torch.testing.assert_close(each.tokens, one.tokens, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(each.cls, one.cls, atol=1e-5, rtol=1e-5)


def test_a_token_that_sees_none_before_it_is_a_cell_of_its_own():
    net, tokens = network(), some_tokens([5])
    lone = net(replace(tokens, visible=torch.zeros(5, dtype=torch.long)))
    for at in range(5):
        single = replace(
            tokens,
            ids=tokens.ids[at : at + 1],
            values=tokens.values[at : at + 1],
            offsets=torch.tensor([0, 1]),
        )
        torch.testing.assert_close(lone.tokens[at : at + 1], net(single).tokens)


def test_context_moves_the_cell_and_depth_does_not():
    net = network(context={"species": 2})
    tokens = some_tokens([8, 8])
    tokens = tokens.select(torch.tensor([0, 0]))
    net.tell_usual(torch.zeros(50))
    twice = replace(
        tokens,
        values=torch.cat([tokens.values[:8], 2 * tokens.values[8:]]),
        context={"species": torch.tensor([1, 1])},
    )
    one, two = net(twice).cls
    torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-5)
    other = net(replace(twice, context={"species": torch.tensor([1, 2])})).cls
    assert not torch.allclose(other[0], other[1])


def test_prior_vectors_keep_their_angles():
    net = network(prior=8, width=16)
    vectors = torch.nn.functional.normalize(torch.randn(50, 8), dim=1).half().float()
    net.tell_priors(vectors)
    net.initialise(3)
    table = net.feature.weight
    torch.testing.assert_close(table @ table.T / 16, vectors @ vectors.T, atol=1e-5, rtol=1e-4)


def test_ranks_and_impossible_sizes_are_refused():
    with pytest.raises(UsageError, match="gives ranks"):
        SetConfig(50, "rank", 30)
    with pytest.raises(UsageError, match="cannot be built"):
        network(depth=-1)
    with pytest.raises(UsageError, match="cannot be left out"):
        network(depth=1)(some_tokens([3]), skip=2)
