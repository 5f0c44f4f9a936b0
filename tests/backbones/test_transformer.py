from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from pancyte.backbones.attention import Attention, Padding
from pancyte.backbones.transformer import Transformer, TransformerConfig
from pancyte.errors import UsageError
from pancyte.shapes import HIDDEN_VALUE, Tokens, offsets_of


def some_tokens(lengths, kind="continuous", features=50, seed=0):
    generator = torch.Generator().manual_seed(seed)
    ids = [torch.randperm(features, generator=generator)[:n].sort().values for n in lengths]
    values = torch.rand(sum(lengths), generator=generator) * 4
    if kind == "rank":
        values = torch.cat([torch.arange(n).float() for n in lengths])
    return Tokens(torch.cat(ids).int(), values, offsets_of(torch.tensor(lengths)))


def network(kind="continuous", **changes):
    return Transformer(TransformerConfig(50, kind, 30, depth=2, width=32, **changes)).eval()


def test_attention_equals_one_cell_at_a_time():
    """Padded attention is what each cell alone would get: the packed loop is the oracle."""
    torch.manual_seed(0)
    attention = Attention(32, 4)
    lengths = [5, 1, 9, 3]
    rows = torch.randn(sum(lengths), 32)
    packed = attention(rows, Padding.of(offsets_of(torch.tensor(lengths))))
    alone = []
    for cell in rows.split(lengths):
        q, k, v = (
            project(cell).view(len(cell), 4, 8).transpose(0, 1)
            for project in (attention.query, attention.key, attention.value)
        )
        mixed = scaled_dot_product_attention(q, k, v).transpose(0, 1).reshape(len(cell), 32)
        alone.append(attention.out(mixed))
    torch.testing.assert_close(packed, torch.cat(alone), atol=1e-6, rtol=0)


def test_attention_sees_the_first_rows_and_itself():
    """The oracle writes each row's softmax out over the rows that it may see."""
    torch.manual_seed(0)
    attention = Attention(32, 4)
    lengths, visible = [5, 1, 9, 3], torch.tensor([2, 2, 0, 5, 1, 0, *range(9), 3, 3, 1])
    rows = torch.randn(sum(lengths), 32)
    packed = attention(rows, Padding.of(offsets_of(torch.tensor(lengths)), visible))
    told = []
    for cell, until in zip(rows.split(lengths), visible.split(lengths), strict=True):
        q, k, v = (
            project(cell).view(len(cell), 4, 8).transpose(0, 1)
            for project in (attention.query, attention.key, attention.value)
        )
        for row, first in enumerate(until.tolist()):
            seen = sorted({*range(first), row})
            weights = (k[:, seen] @ q[:, row, :, None] / 8**0.5).softmax(dim=1)
            told.append(attention.out((weights * v[:, seen]).sum(dim=1).reshape(32)))
    torch.testing.assert_close(packed, torch.stack(told), atol=1e-6, rtol=0)


def test_seeing_all_is_the_same_as_no_limit():
    tokens = some_tokens([7, 0, 30, 1, 12])
    net = network()
    with torch.inference_mode():
        free = net(tokens)
        told = net(replace(tokens, visible=tokens.lengths[tokens.cell_index]))
    torch.testing.assert_close(free.tokens, told.tokens, atol=1e-5, rtol=0)
    torch.testing.assert_close(free.cls, told.cls, atol=1e-5, rtol=0)


def test_no_gradient_reaches_what_is_not_seen():
    tokens = some_tokens([6, 0, 11])
    places = torch.cat([torch.arange(6), torch.arange(11)])
    net = network()
    values = tokens.values.clone().requires_grad_()
    hidden = net(replace(tokens, values=values, visible=places))
    (hidden.tokens[6 + 4].sum() + hidden.cls.sum()).backward()
    assert values.grad.nonzero().squeeze(1).tolist() == [6, 7, 8, 9, 10]


@pytest.mark.parametrize("kind", ["continuous", "rank"])
def test_a_cell_does_not_depend_on_its_neighbours(kind):
    tokens = some_tokens([7, 30, 1, 12], kind)
    net = network(kind)
    with torch.inference_mode():
        together = net(tokens)
        for row in range(4):
            alone = net(tokens.select(torch.tensor([row])))
            start, stop = tokens.offsets[row], tokens.offsets[row + 1]
            torch.testing.assert_close(together.tokens[start:stop], alone.tokens, atol=1e-5, rtol=0)
            torch.testing.assert_close(together.cls[row], alone.cls[0], atol=1e-5, rtol=0)


def test_token_order_within_a_cell_is_equivariant():
    tokens = some_tokens([12])
    order = torch.from_numpy(np.random.default_rng(0).permutation(12))
    shuffled = Tokens(tokens.ids[order], tokens.values[order], tokens.offsets)
    net = network()
    with torch.inference_mode():
        one, two = net(tokens), net(shuffled)
    torch.testing.assert_close(one.tokens[order], two.tokens, atol=1e-5, rtol=0)
    torch.testing.assert_close(one.mean(), two.mean(), atol=1e-5, rtol=0)


def test_a_withheld_value_does_not_leak():
    tokens = some_tokens([10])
    hidden, other = tokens.values.clone(), tokens.values.clone()
    hidden[4] = other[4] = HIDDEN_VALUE
    other[3] = tokens.values[3] + 1
    net = network()
    with torch.inference_mode():
        seen = net(replace(tokens, values=hidden)).tokens
        changed = net(replace(tokens, values=other)).tokens
        truth = net(tokens).tokens
    assert not torch.allclose(seen[4], truth[4])
    assert not torch.allclose(seen[4], changed[4])
    assert seen.isfinite().all()


def test_an_empty_cell_gets_a_vector_and_disturbs_nobody():
    tokens = some_tokens([4, 0, 6])
    with torch.inference_mode():
        hidden = network()(tokens)
    assert hidden.cls.shape == (3, 32)
    assert hidden.mean()[1].abs().sum() == 0


def test_context_reaches_every_token():
    tokens = some_tokens([5, 5])
    net = network(context={"assay": 2})
    with torch.inference_mode():
        one = net(replace(tokens, context={"assay": torch.tensor([0, 0])})).tokens
        two = net(replace(tokens, context={"assay": torch.tensor([0, 2])})).tokens
    assert torch.equal(one[:5], two[:5])
    assert not torch.allclose(one[5:], two[5:])


def test_the_dial_sets_the_rest():
    config = TransformerConfig(50, "rank", 30, depth=6)
    assert (config.width, config.heads) == (384, 6)
    with pytest.raises(UsageError, match="multiple of heads"):
        TransformerConfig(50, "rank", 30, depth=2, width=30, heads=4)


def test_initialisation_is_a_function_of_the_seed():
    one, two, three = network(), network(), network()
    two.initialise(0)
    three.initialise(1)
    same = [torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True)]
    assert all(same)
    assert not torch.equal(one.embedding.feature.weight, three.embedding.feature.weight)


@pytest.mark.parametrize("lengths", [[6, 6, 6], [7, 1, 4]])
def test_the_last_layer_for_some_rows_gives_the_same_vectors_and_gradients(lengths):
    tokens, only = some_tokens(lengths), torch.tensor([0, 3, 8])
    found = {}
    for told in (None, only):
        net = network()
        hidden = net(tokens, only=told)
        (hidden.tokens[only].sin().sum() + hidden.cls.cos().sum()).backward()
        found[told is None] = [
            hidden.tokens[only].detach(),
            hidden.cls.detach(),
            *(parameter.grad for parameter in net.parameters()),
        ]
    for whole, some in zip(found[True], found[False], strict=True):
        torch.testing.assert_close(some, whole, rtol=1e-4, atol=1e-6)


def test_without_layers_nothing_is_left_out():
    tokens = some_tokens([4, 3])
    whole, some = network()(tokens, skip=2), network()(tokens, skip=2, only=torch.tensor([1]))
    assert torch.equal(whole.tokens, some.tokens)
