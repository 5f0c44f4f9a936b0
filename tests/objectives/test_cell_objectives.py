from dataclasses import replace

import numpy as np
import pytest
import torch

from pancyte.errors import UsageError
from pancyte.objectives.adversarial import Adversarial, AdversarialConfig
from pancyte.objectives.elastic import Elastic, ElasticConfig
from pancyte.shapes import Hidden

from .conftest import losses, network


def hidden_of(vectors):
    cells = len(vectors)
    return Hidden(vectors, torch.zeros_like(vectors), torch.arange(cells + 1), torch.zeros(4, 8))


@pytest.fixture
def assays(counted, cells):
    """Tokens that tell each cell's assay, the vocabulary's size, and the codes."""
    tokens, features, _ = counted
    codes = cells.context["assay"].astype("category").cat.codes.to_numpy(np.int64)
    codes[::10] = -1
    codes = torch.from_numpy(codes + 1)
    return replace(tokens, context={"assay": codes}), features, codes


def elastic_of(vectors, threshold):
    objective = Elastic(ElasticConfig(threshold), width=8, features=4)
    return objective.loss(hidden_of(vectors), {"positions": torch.arange(len(vectors))})


def test_elastic_similarity_is_its_formula():
    vectors = torch.randn(9, 8, generator=torch.Generator().manual_seed(0)) + 0.5
    told, pairs = 0.0, 0
    for i, one in enumerate(vectors.double().numpy()):
        for j, two in enumerate(vectors.double().numpy()):
            if i != j:
                cosine = one @ two / np.linalg.norm(one) / np.linalg.norm(two)
                told += (max(cosine, 0.0) - 0.6) ** 2
                pairs += 1
    ours = elastic_of(vectors, 0.6)["similarity"].item()
    assert ours == pytest.approx(1 - told / pairs, rel=1e-5)


def test_one_vector_for_all_is_the_trivial_predictor_and_unrelated_ones_the_best():
    objective = Elastic(ElasticConfig(0.8), width=8, features=4)
    trivial = objective.trivial_loss({"positions": torch.arange(8)})["similarity"].item()
    assert elastic_of(torch.ones(8, 8), 0.8)["similarity"].item() == pytest.approx(trivial)
    assert elastic_of(torch.eye(8), 0.8)["similarity"].item() == pytest.approx(1 - 0.8**2)


def test_training_lowers_elastic_similarity(counted):
    tokens, features, _ = counted
    objective = Elastic(ElasticConfig(), width=32, features=features)
    curve = losses(objective, network(features, depth=1), tokens)
    assert curve[-1] < curve[0]


def gradients(strength, tokens, features):
    objective = Adversarial(
        AdversarialConfig("assay", strength=strength), width=32, features=features
    )
    net = network(features, depth=1)
    seen, target = objective.corrupt(tokens, torch.Generator())
    objective.loss(net(seen), target)["level"].backward()
    return net.embedding.feature.weight.grad, objective.tell.weight.grad


def test_only_the_networks_gradient_is_reversed(assays):
    tokens, features, _ = assays
    reversed_, head = gradients(2.0, tokens, features)
    # reversed by -1 it is the gradient itself
    plain, same_head = gradients(-1.0, tokens, features)
    assert plain.abs().max() > 0
    torch.testing.assert_close(reversed_, -2 * plain)
    assert torch.equal(head, same_head)


def test_the_discriminator_learns_and_the_network_resists(assays):
    tokens, features, _ = assays
    ends = {}
    for strength in (0.0, 5.0):
        objective = Adversarial(
            AdversarialConfig("assay", strength=strength), width=32, features=features
        )
        curve = losses(objective, network(features, depth=1), tokens, steps=12)
        ends[strength] = curve[-1]
        assert curve[-1] < curve[0]
    assert ends[0.0] < ends[5.0]


def test_cells_of_unknown_level_are_not_asked(assays):
    tokens, features, codes = assays
    objective = Adversarial(AdversarialConfig("assay", levels=5), width=32, features=features)
    objective.fit_trivial(tokens)
    _, target = objective.corrupt(tokens, torch.Generator())
    assert torch.equal(target["positions"], (codes > 0).nonzero().squeeze(1))
    known = codes[codes > 0].numpy() - 1
    shares = np.bincount(known, minlength=5) + 1.0
    told = -np.log(shares / shares.sum())[known].mean()
    assert objective.trivial_loss(target)["level"].item() == pytest.approx(told, rel=1e-5)
    nobody = replace(tokens, context={"assay": torch.zeros_like(codes)})
    seen, target = objective.corrupt(nobody, torch.Generator())
    assert objective.loss(network(features, depth=1)(seen), target)["level"].item() == 0


def test_a_missing_column_and_too_many_levels_are_named(assays, counted):
    tokens, features, _ = assays
    objective = Adversarial(AdversarialConfig("assay", levels=1), width=8, features=features)
    with pytest.raises(UsageError, match=r"has 3 levels or more.*room for 1"):
        objective.corrupt(tokens, torch.Generator())
    with pytest.raises(UsageError, match=r"needs the column 'assay'.*context"):
        objective.corrupt(counted[0], torch.Generator())
