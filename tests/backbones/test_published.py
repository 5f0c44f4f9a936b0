"""BERT and scGPT's network on packed tokens: seen whole or in part, asked for all or some."""

from dataclasses import replace

import pytest
import torch

from pancyte.backbones.bert import Bert, BertConfig
from pancyte.backbones.scgpt import ScGPT, ScGPTConfig
from pancyte.errors import UsageError
from pancyte.shapes import Tokens, offsets_of

LENGTHS = torch.tensor([7, 0, 12, 1, 30])
SIZES = {"features": 50, "places": 32, "depth": 2, "width": 32, "heads": 4}


@pytest.fixture(params=["bert", "framed bert", "scgpt"])
def network(request):
    if request.param == "scgpt":
        made = ScGPT(ScGPTConfig(value_kind="continuous", **SIZES))
    else:
        framed = request.param == "framed bert"
        made = Bert(BertConfig(value_kind="rank", cls=framed, eos=framed, **SIZES))
    return made.eval()


@pytest.fixture
def tokens():
    generator = torch.Generator().manual_seed(0)
    offsets = offsets_of(LENGTHS)
    ids = torch.randint(50, (int(LENGTHS.sum()),), generator=generator)
    ranks = torch.cat([torch.arange(int(length)) for length in LENGTHS]).float()
    return Tokens(ids, ranks, offsets)


def test_masks_that_hide_nothing_change_nothing(network, tokens):
    """Whoever may see the whole cell sees what one sees who is not restricted."""
    whole = replace(tokens, visible=tokens.lengths[tokens.cell_index])
    with torch.no_grad():
        alone, padded = network(tokens), network(whole)
    assert (alone.tokens - padded.tokens).abs().max() < 1e-5
    assert alone.cls.isfinite().all()
    assert padded.cls.isfinite().all()


@pytest.mark.parametrize("rule", [None, 3])
def test_the_last_layer_for_some_rows_gives_the_same_vectors(network, tokens, rule):
    only = torch.tensor([19, 2, 3, 40])
    if rule:
        tokens = replace(tokens, visible=tokens.lengths[tokens.cell_index].clamp(max=rule))
    with torch.no_grad():
        whole, some = network(tokens), network(tokens, only=only)
    torch.testing.assert_close(some.tokens[only], whole.tokens[only])
    torch.testing.assert_close(some.cls, whole.cls)
    assert some.tokens[1].any() == (network.name == "bert" and not network.config.cls)


def test_skipping_layers_gives_the_layers_before(network, tokens):
    with torch.no_grad():
        before = network(tokens, skip=1).tokens
        whole = network(tokens).tokens
        assert not torch.allclose(before, whole)
        network.layers = network.layers[:1]
        object.__setattr__(network.config, "depth", 1)
        assert torch.equal(network(tokens).tokens, before)
    with pytest.raises(UsageError, match="2 layers cannot be left out of 1"):
        network(tokens, skip=2)


def test_no_cells_at_all(network):
    nothing = Tokens(torch.zeros(0).long(), torch.zeros(0), torch.zeros(1).long())
    assert network(nothing).cls.shape == (0, 32)


@pytest.mark.parametrize(
    ("kind", "config", "wrong"),
    [(Bert, BertConfig, "continuous"), (ScGPT, ScGPTConfig, "rank")],
)
def test_other_values_and_contexts_are_refused(kind, config, wrong):
    right = {"continuous": "rank", "rank": "continuous"}[wrong]
    with pytest.raises(UsageError, match=r"reads (ranks|binned values)"):
        kind(config(value_kind=wrong, **SIZES))
    with pytest.raises(UsageError, match="reads no context"):
        kind(config(value_kind=right, context={"assay": 2}, **SIZES))
