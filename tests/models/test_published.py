import json
import runpy
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from pancyte.cli.main import run
from pancyte.errors import UsageError
from pancyte.models.published import TABLE, checked, find, published
from pancyte.training.run import load_run

ROOT = Path(__file__).parents[2]
WANTED = {
    *("scgpt", "geneformer-v1-6l", "geneformer-v1-12l", "geneformer-v2-104m"),
    *("geneformer-v2-316m", "scbert", "scfoundation", "uce", "cellplm", "genecompass", "tgpt"),
    *("tosica", "scmulan", "sctranslator", "cellfm", "nicheformer", "transcriptformer"),
    *("saturn", "glue", "marsgt", "deepmaps", "celllm", "xtrimogene", "scprint", "tahoe-x1"),
    *("cell2sentence", "genept", "scelmo", "state", "scimilarity", "scvi", "scanvi"),
    "tissues-small",
}


def entry(**changes):
    found = next(item for item in yaml.safe_load(TABLE.read_text()) if item["name"] == "uce")
    return {**found, **changes}


def test_every_known_model_is_there_once():
    names = [model.name for model in published()]
    assert set(names) >= WANTED
    assert len(names) == len(set(names))


@pytest.mark.parametrize("model", published(), ids=lambda model: model.name)
def test_every_entry_says_where_it_is_from(model):
    assert model.citation.link.startswith("https://") or model.citation.own
    assert model.licence
    assert model.checked
    if model.recipe:
        recipe = load_run(ROOT / "recipes" / f"{model.recipe}.yaml")
        assert recipe.train


def test_recipes_of_designs_are_listed():
    recipes = {path.stem for path in (ROOT / "recipes").glob("*-like.yaml")}
    assert recipes == {m.recipe for m in published() if (m.recipe or "").endswith("-like")}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"citation": {"text": "Someone 2023"}}, "doi or an arxiv"),
        ({"citation": {"text": "Someone 2023", "doi": "nature.com/x"}}, "is no DOI"),
        ({"citation": {"text": "Someone 2023", "arxiv": "23.1"}}, "is no arXiv number"),
        ({"licence": ""}, "licence"),
        ({"checked": ["none"], "unchecked": []}, "listed as unchecked"),
        ({"unchecked": ["colour"]}, "no field"),
        ({"importer": "uce", "evidence": None}, "evidence"),
        ({"tokens": ""}, "tokens"),
        ({"cells": -1}, "cells"),
        ({"colour": "red"}, "colour"),
        ({"measured": {"seconds_per_cell": 0, "how": "on some machine"}}, "seconds_per_cell"),
    ],
)
def test_incomplete_entries_are_refused(changes, complaint):
    assert checked([entry()])
    with pytest.raises(ValidationError, match=complaint):
        checked([entry(**changes)])


def test_a_name_may_not_come_twice():
    with pytest.raises(ValueError, match="'uce' is listed twice"):
        checked([entry(), entry()])


def test_the_page_is_made_of_the_table():
    made = runpy.run_path(str(ROOT / "scripts" / "build_models_page.py"))["page"]()
    assert (ROOT / "docs" / "models.md").read_text(encoding="utf-8") == made, (
        "run python scripts/build_models_page.py"
    )


def test_names_are_forgiving():
    assert find("UCE").name == "uce"
    with pytest.raises(UsageError, match="geneformer-v1-6l"):
        find("geneformr")


def call(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        run(arguments)
    said = capsys.readouterr()
    return stop.value.code, said.out, said.err


def test_the_command(capsys):
    status, out, _ = call(["models", "--json"], capsys)
    assert (status, len(json.loads(out)["models"])) == (0, len(published()))
    status, out, _ = call(["models", "scgpt", "--json"], capsys)
    assert json.loads(out)["model"]["measured"]["seconds_per_cell"] == 3.4
    status, out, _ = call(["models", "scgpt"], capsys)
    assert "10.1038/s41592-024-02201-0" in out
    assert "importer scgpt: verified against its own TransformerModel" in out
    status, _, told = call(["models", "scgptt"], capsys)
    assert (status, "Did you mean scgpt" in told) == (2, True)
