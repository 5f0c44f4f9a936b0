"""What a run will cost: operations against the formula, memory against the allocator."""

import json

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from pancyte.training.device import free_memory, peak
from pancyte.training.estimate import Trial, first, padded
from pancyte.training.flops import count
from pancyte.training.memory import Kept
from pancyte.training.network import Network
from pancyte.training.plan import readable
from pancyte.training.pretrain import plan, prepare, pretrain

VALUE_ONLY = {"objective": {"name": "masked_value", "absent": 0.0, "from_cell": 0.0}}


@pytest.fixture
def network(small):
    def make(parts=None):
        _, model, train, _ = prepare(small(parts))
        return Network(model.backbone, model.objective), train.first()

    return make


def test_operations_are_those_of_the_formula(network):
    built, tokens = network(VALUE_ONLY)
    tokens = first(tokens, 500)
    d, layers, inner = 32, 2, 4 * 32
    matrices = attention = 0
    for genes in tokens.lengths.tolist():
        rows, asked = genes + 1, int(0.3 * genes)
        embedding = genes * 2 * (d * d + d + d)
        head = asked * 2 * (d * d + d)
        matrices += rows * (layers - 1) * 2 * (4 * d * d + 2 * d * inner) + embedding + head
        attention += (layers - 1) * 4 * rows**2 * d
        # the last layer's keys and values are all rows', the rest is that of the rows that are read
        matrices += 2 * rows * 2 * d * d + 2 * (asked + 1) * (2 * d * d + 2 * d * inner)
        attention += 4 * (asked + 1) * rows * d
    work = count(built, tokens)
    lengths = tokens.lengths.double()
    assert work.per_token * lengths.sum() == pytest.approx(3 * matrices)
    assert work.per_pair * lengths.square().sum() == pytest.approx(3 * attention)
    assert work.of(tokens.lengths.numpy()) == pytest.approx(3 * (matrices + attention))


def test_a_larger_vocabulary_costs_no_operations(network, small):
    built, tokens = network(VALUE_ONLY)
    tokens = first(tokens, 200)
    table = torch.nn.Embedding(9 * built.backbone.config.features, 32)
    before = count(built, tokens)
    built.backbone.embedding.feature = table
    assert count(built, tokens) == before


@pytest.mark.parametrize(
    "objective",
    [
        {"name": "masked_value"},
        {"name": "generative"},
        {"name": "combined", "parts": [{"name": "masked_value"}, {"name": "contrastive"}]},
    ],
)
def test_kept_bytes_are_those_that_the_allocator_holds(network, objective):
    built, tokens = network({"objective": objective})
    seen, target = built.asked(tokens, seed=0, place=0)
    built(seen, target)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as events:
        terms = built(seen, target)
    held = sum(event.self_cpu_memory_usage for event in events.events())
    with Kept(built) as kept:
        terms = built(seen, target)
    del terms
    # the inputs are kept too, and were there before
    inputs = sum(tensor.nbytes for tensor in (seen.ids, seen.values, *target.values()))
    assert abs(kept.bytes - held) < 0.1 * held + inputs


def test_recomputed_layers_need_less_memory(network):
    built, tokens = network()
    whole, spared = Trial(built).need(tokens), Trial(built, recompute=True).need(tokens)
    assert spared.total(1000) < 0.75 * whole.total(1000)
    assert whole.weights == 4 * sum(p.numel() for p in built.parameters())


def test_a_plan_says_what_the_run_then_does(small, tmp_path):
    run = small()
    planned = plan(run)
    told = []
    model = pretrain(run, tmp_path / "model", before=told.append)
    assert [told[0].tokens, told[0].flops] == [planned.tokens, planned.flops]
    cost = json.loads((tmp_path / "model.run/checkpoints/step-000000006/state.json").read_text())
    assert cost["cost"]["tokens"] == planned.tokens
    assert cost["cost"]["flops"] == pytest.approx(planned.flops)
    assert json.loads((tmp_path / "model.run" / "plan.json").read_text())["steps"] == 6
    assert f"{planned.tokens:,}" in model.card.cost["tokens"]


def test_planning_leaves_the_weights_alone(small):
    from pancyte.training.plan import plan_of
    from pancyte.training.team import Team

    run = small()
    _, model, train, _ = prepare(run)
    before = model.fingerprint()
    planned, _ = plan_of(model, train, run.loop, Team())
    assert model.fingerprint() == before
    assert all(weight.grad is None for weight in model.backbone.parameters())
    assert 0 < planned.mfu < 1
    assert any(line.startswith("memory") for line in planned.lines())


def test_the_first_cells_fit_the_budget(network):
    _, tokens = network()
    assert padded(first(tokens, 400)) <= 400
    assert len(first(tokens, 1)) == 1


def test_the_device_is_measured():
    cpu = torch.device("cpu")
    assert peak(cpu) > 1e8
    assert free_memory(cpu) > 1e8


@pytest.mark.parametrize(
    ("seconds", "words"), [(3, "3 seconds"), (600, "10.0 minutes"), (3 * 86_400, "3.0 days")]
)
def test_durations_are_readable(seconds, words):
    assert readable(seconds) == words
