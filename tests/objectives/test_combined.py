import pytest
import torch

from pancyte.errors import UsageError
from pancyte.objectives.combined import Combined, CombinedConfig
from pancyte.objectives.contrastive import Contrastive, ContrastiveConfig
from pancyte.objectives.generative import Generative, GenerativeConfig
from pancyte.objectives.masked_value import MaskedValue, MaskedValueConfig
from pancyte.training.run import Run

from .conftest import losses, network

PARTS = [
    {"name": "masked_value", "weight": 2, "ratio": 0.5},
    {"name": "contrastive", "weight": 0.5, "config": {"temperature": 0.2}},
]


@pytest.fixture
def setting(counted):
    tokens, features, _ = counted
    return tokens, features, Combined(CombinedConfig(PARTS), width=32, features=features)


def test_each_part_scores_its_own_copy(setting):
    """The same as if each part had its own forward pass, whatever the others hide."""
    tokens, features, combined = setting
    net = network(features).eval()
    alone = {
        "masked_value": (2, MaskedValue(MaskedValueConfig(0.5), width=32, features=features)),
        "contrastive": (0.5, Contrastive(ContrastiveConfig(0.2), width=32, features=features)),
    }
    combined.fit_trivial(tokens)
    generator = torch.Generator().manual_seed(0)
    seen, target = combined.corrupt(tokens, torch.Generator().manual_seed(0))
    scored, trivial = combined.loss(net(seen), target), combined.trivial_loss(target)
    rivals, questions = combined.rivals(seen, target), 0
    for name, (weight, part) in alone.items():
        part.load_state_dict(combined.parts[name].state_dict())
        part.fit_trivial(tokens)
        own, asked = part.corrupt(tokens, generator)
        questions += len(asked["positions"])
        for term, value in part.loss(net(own), asked).items():
            assert scored.pop(f"{name}_{term}").item() == pytest.approx(
                weight * value.item(), rel=1e-4
            )
        for term, value in part.trivial_loss(asked).items():
            assert trivial.pop(f"{name}_{term}") == weight * value
        for term, value in part.rivals(own, asked).items():
            assert rivals.pop(f"{name}_{term}").item() == pytest.approx(weight * value.item())
    assert not scored | trivial | rivals
    assert len(target["positions"]) == questions


def test_training_lowers_the_loss(setting):
    tokens, features, combined = setting
    curve = losses(combined, network(features, depth=1), tokens)
    assert curve[-1] < curve[0]


def test_parts_with_and_without_blind_tokens_share_a_pass(counted):
    tokens, features, _ = counted
    combined = Combined(CombinedConfig(PARTS), width=32, features=features)
    generative = Generative(GenerativeConfig(), width=32, features=features)
    combined.parts["masked_value"] = generative
    net = network(features).eval()
    seen, target = combined.corrupt(tokens, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(0)
    own, asked = generative.corrupt(tokens, generator)
    views, pairs = combined.parts["contrastive"].corrupt(tokens, generator)
    scored = combined.loss(net(seen), target)
    value = generative.loss(net(own), asked)["value"].item()
    view = combined.parts["contrastive"].loss(net(views), pairs)["view"].item()
    assert scored["masked_value_value"].item() == pytest.approx(2 * value, rel=1e-4)
    assert scored["contrastive_view"].item() == pytest.approx(0.5 * view, rel=1e-4)


def test_a_run_file_can_name_parts(setting):
    _, features, _ = setting
    run = Run.model_validate(
        {"name": "x", "train": ["y"], "objective": {"name": "combined", "parts": PARTS}}
    )
    combined = Combined(CombinedConfig(**run.objective.config), width=32, features=features)
    assert combined.weights == {"masked_value": 2, "contrastive": 0.5}
    assert combined.as_dict()["config"]["parts"] == PARTS
    assert combined.parts["contrastive"].config.temperature == 0.2


def test_equal_parts_are_numbered_and_differ(counted):
    parts = [{"name": "masked_value"}, {"name": "masked_value", "ratio": 0.6}]
    combined = Combined(CombinedConfig(parts), width=8, features=counted[1])
    assert list(combined.parts) == ["masked_value", "masked_value_2"]
    one, two = (part.answer.weight for part in combined.parts.values())
    combined.initialise(3)
    assert not torch.equal(one, two)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([], "has no parts"),
        ([{"weight": 1}], "has no name"),
        ([{"name": "masked_value", "weight": 0}], "has the weight 0"),
        ([{"name": "masked_vale"}], "Did you mean 'masked_value'"),
        ([{"name": "masked_value", "rato": 1}], "no setting 'rato'"),
        ([{"name": "masked_gene"}, {"name": "masked_value"}], "work on continuous and rank values"),
    ],
)
def test_mistakes_are_named(parts, message):
    with pytest.raises(UsageError, match=message):
        Combined(CombinedConfig(parts), width=8, features=10)
