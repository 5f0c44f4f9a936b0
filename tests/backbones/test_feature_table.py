import pytest
import torch

from pancyte.backbones.feature_table import FeatureTable
from pancyte.backbones.transformer import Transformer, TransformerConfig
from pancyte.errors import UsageError
from pancyte.shapes import Tokens

CONFIG = {"features": 300, "value_kind": "continuous", "places": 16, "depth": 1, "width": 64}


def network(prior=8, **settings):
    built = Transformer(TransformerConfig(**CONFIG, prior=prior, **settings))
    vectors = torch.randn(300, 8, generator=torch.Generator().manual_seed(0))
    vectors = vectors / vectors.norm(dim=1, keepdim=True)
    vectors[:30] = 0
    if prior:
        built.tell_priors(vectors)
        built.initialise(1)
    return built


def tokens(ids):
    length = len(ids)
    return Tokens(torch.tensor(ids), torch.ones(length), torch.tensor([0, length]))


def test_vectors_start_from_the_prior_with_the_length_the_network_expects():
    feature = network().embedding.feature
    assert isinstance(feature, FeatureTable)
    torch.testing.assert_close(
        feature.weight[30:], feature.prior[30:].float() @ feature.basis.weight
    )
    spread = feature.weight.std(dim=1)
    plain = network(prior=0).embedding.feature.weight.std(dim=1)
    for part in (spread[:30], spread[30:]):
        assert abs(part.mean() - plain.mean()) < 0.1


def test_alike_priors_make_alike_vectors():
    built = Transformer(TransformerConfig(**CONFIG, prior=8))
    vectors = torch.eye(8).repeat(38, 1)[:300]
    built.tell_priors(vectors)
    built.initialise(0)
    table = built.embedding.feature.weight
    torch.testing.assert_close(table[0], table[8])
    assert torch.cosine_similarity(table[0], table[1], dim=0).abs() < 0.5


def test_a_gene_without_an_own_part_is_cold_only_in_training():
    built = network(cold=0.5)
    feature = built.embedding.feature
    with torch.no_grad():
        feature.own.weight.add_(1)
    built.eval()
    warm = feature.weight
    assert torch.equal(warm, feature.weight)
    built.train()
    torch.manual_seed(0)
    left_out = (feature.weight != warm).any(dim=1)
    assert not left_out[:30].any(), "a gene without a prior lost all it had"
    assert 0.4 < left_out[30:].float().mean() < 0.6


def test_with_all_features_cold_the_table_is_its_prior():
    built = network(cold=1.0)
    feature = built.embedding.feature
    assert not any("feature.own" in name for name in built.state_dict())
    assert not feature.weight[:30].any()
    torch.testing.assert_close(
        feature.weight[30:], feature.prior[30:].float() @ feature.basis.weight
    )
    with pytest.raises(UsageError, match=r"cold is 1\.5"):
        network(cold=1.5)


def test_one_table_serves_a_whole_pass():
    built = network(cold=0.5).train()
    with torch.no_grad():
        built.embedding.feature.own.weight.add_(1)
    one = tokens([40, 41, 42])
    torch.manual_seed(0)
    hidden = built(one, skip=1)
    expected = built.embedding.value(hidden.table[one.ids], one.values)
    torch.testing.assert_close(hidden.tokens, expected)


def test_every_weight_gets_a_gradient():
    built = network(cold=0.0)
    hidden = built(tokens(list(range(20, 60))))
    noise = torch.randn(hidden.tokens.shape, generator=torch.Generator().manual_seed(0))
    ((hidden.tokens * noise).sum() + hidden.cls.sin().sum()).backward()
    withheld = "embedding.value.hidden"
    dead = [n for n, p in built.named_parameters() if n != withheld and not p.grad.any()]
    assert not dead
    assert not built.embedding.feature.prior.requires_grad


def test_without_priors_nothing_is_new():
    plain = network(prior=0)
    assert "embedding.feature.weight" in plain.state_dict()
    assert not {"prior", "cold"} & plain.as_dict()["config"].keys()
    generator = torch.Generator().manual_seed(0)
    assert torch.equal(plain.embedding.cls, torch.randn(64, generator=generator))
    feature = torch.randn(300, 64, generator=generator)
    assert torch.equal(plain.embedding.feature.weight, feature)
