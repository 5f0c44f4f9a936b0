import json
from dataclasses import replace

import pytest

import pancyte as pan
from pancyte._settings import settings
from pancyte.cli.main import run
from pancyte.errors import InputError, MissingError, UsageError
from pancyte.models import hub_client
from pancyte.models.card import Card
from pancyte.models.model import Model
from pancyte.models.publish import publish
from pancyte.tasks.dataset import Dataset
from pancyte.tokenizers.continuous import ContinuousTokenizer
from pancyte.tokenizers.tokenizer import TokenizerConfig
from tests.models.hub_server import TOKEN, Hub

pytest.importorskip("huggingface_hub")
# the hub's client calls its own transport in a way that is to go
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
DATA = {"name": "islets", "cells": 90, "content_hash": "a" * 64, "licence": "CC BY 4.0"}
GIVEN = {"licence": "CC-BY-4.0", "limits": ["It has read pancreas only."]}


@pytest.fixture(scope="module")
def model(three_studies):
    return Model.create(
        ContinuousTokenizer(TokenizerConfig(features=50, max_length=40)).fit(three_studies),
        backbone={"name": "transformer", "config": {"depth": 1, "width": 16}},
        objective={"name": "masked_value"},
        card=Card("tiny", species=["human"], trained_on=[DATA]),
    )


@pytest.fixture(scope="module")
def results(model, three_studies):
    """A real benchmark of the model, baselines included."""
    data = Dataset(
        three_studies, label_key="cell_type", split_by="study", held_out=("Muraro 2016",)
    )
    return pan.benchmark([model], tasks=["annotation"], datasets=[data], seeds=[0])


@pytest.fixture
def hub(tmp_path, monkeypatch):
    server = Hub()
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    # the hub's own storage protocol has no stand-in here; git's large files are the other way
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(settings, "cache_dir", tmp_path / "cache")
    monkeypatch.setattr(settings, "offline", False)
    monkeypatch.setattr(hub_client, "PAUSE", 0.01)
    yield server
    server.close()


def test_what_is_published_can_be_loaded(hub, model, results, cells):
    url = model.push_to_hub("hf:me/tiny", results=results, **GIVEN)
    assert url.startswith(hub.url)
    assert hub.repos["me/tiny"].private
    back = pan.load("hf:me/tiny")
    assert back.fingerprint() == model.fingerprint()
    assert back.card.licence == "CC-BY-4.0"
    card = hub.repos["me/tiny"].files["README.md"].decode()
    assert card.startswith("---\nlibrary_name: pancyte\nlicense: cc-by-4.0\n")
    assert "| islets | 90 | CC BY 4.0 |" in card
    assert "- It has read pancreas only." in card
    headline = next(item for item in results.verdicts if item["headline"])
    assert f"{headline['baseline']} {headline['baseline_value']:.3f}" in card
    assert not model.card.licence, "publishing does not change the model at hand"


def test_all_that_is_missing_is_named_at_once_and_nothing_is_sent(hub, model):
    bare = model.reinitialised(0)
    with pytest.raises(InputError) as refused:
        bare.push_to_hub("hf:me/tiny")
    for word in ("a licence", "the data it was trained on", "baselines", "limits"):
        assert word in str(refused.value)
    assert not hub.asked


@pytest.mark.parametrize(
    ("card", "given", "lacks"),
    [
        ({}, {"licence": ""}, "a licence of the weights"),
        ({}, {"limits": ["  "]}, "its limits"),
        ({}, {"results": None}, "scores beside those of baselines"),
        ({"trained_on": [{**DATA, "licence": ""}]}, {}, "the licence of the data islets"),
    ],
)
def test_each_part_is_needed(hub, model, results, card, given, lacks):
    other = model.reinitialised(0)
    other.card = replace(model.card, **card)
    with pytest.raises(InputError) as refused:
        publish(other, "hf:me/tiny", **{"results": results, **GIVEN, **given})
    assert lacks in str(refused.value)
    assert "; " not in str(refused.value).split("lacks")[1].split("Give")[0]
    assert not hub.asked


def test_results_of_another_model_are_no_evidence(hub, model, results, tmp_path):
    path = tmp_path / "results.json"
    results.to_json(path)
    other = model.reinitialised(0)
    other.card = replace(model.card, name="other")
    with pytest.raises(InputError, match=r"nothing about 'other'.*They are about tiny"):
        other.push_to_hub("hf:me/other", results=path, **GIVEN)
    path.write_text("{}")
    with pytest.raises(InputError, match="no results of a benchmark"):
        other.push_to_hub("hf:me/other", results=path, **GIVEN)


def test_a_model_that_is_there_is_not_replaced_by_accident(hub, model, results):
    model.push_to_hub("hf:me/tiny", results=results, **GIVEN)
    with pytest.raises(UsageError, match="already"):
        model.push_to_hub("hf:me/tiny", results=results, **GIVEN)
    model.push_to_hub("hf:me/tiny", results=results, replace_existing=True, **GIVEN)


def test_without_the_right_to_write(hub, model, results, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_" + "y" * 30)
    with pytest.raises(MissingError, match="HF_TOKEN"):
        model.push_to_hub("hf:me/tiny", results=results, **GIVEN)
    assert not hub.repos


def test_offline_and_odd_names(hub, model, results, monkeypatch):
    with pytest.raises(UsageError, match="no repository"):
        model.push_to_hub("hf:me/tiny@v1", results=results, **GIVEN)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UsageError, match="offline"):
        model.push_to_hub("hf:me/tiny", results=results, **GIVEN)
    assert not hub.asked


@pytest.fixture
def command(model, results, tmp_path):
    model.save_pretrained(tmp_path / "tiny")
    results.to_json(tmp_path / "results.json")
    given = ["--licence", "CC-BY-4.0", "--limit", "It has read pancreas only."]
    return [
        *("publish", str(tmp_path / "tiny"), "hf:me/tiny"),
        *("--results", str(tmp_path / "results.json"), *given),
    ]


def call(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        run(arguments)
    said = capsys.readouterr()
    return stop.value.code, said.out, said.err


def test_the_command_sends_nothing_without_the_name_twice(hub, command, capsys):
    status, _, told = call(command, capsys)
    assert status == 2
    assert "Nothing was sent" in told
    assert "--confirm me/tiny" in told
    status, _, _ = call([*command, "--confirm", "me/other"], capsys)
    assert status == 2
    status, out, _ = call([*command, "--dry-run", "--json"], capsys)
    assert status == 0
    assert set(json.loads(out)["sizes"]) >= {"model.safetensors", "README.md"}
    assert not hub.asked


def test_the_command_publishes_and_names_what_is_missing(hub, command, capsys):
    status, out, _ = call([*command, "--confirm", "me/tiny", "--public"], capsys)
    assert (status, out.strip().startswith(hub.url)) == (0, True)
    assert not hub.repos["me/tiny"].private
    status, _, told = call([*command[:3], "--confirm", "me/tiny"], capsys)
    assert status == 3
    assert "lacks a licence" in told
