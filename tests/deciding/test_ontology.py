"""Names are found as people write them, and ancestors are those of the ontology."""

import gzip
import json

import numpy as np
import pytest

from pancyte.deciding.ontology import load_ontology, roll_up
from pancyte.errors import InputError, MissingError


@pytest.fixture(scope="module")
def ontology():
    return load_ontology()


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("type B pancreatic cell", "type B pancreatic cell"),
        ("CL:0000169", "type B pancreatic cell"),
        ("Pancreatic beta cells", "type B pancreatic cell"),
        ("CD14+ Monocytes", "CD14-positive monocyte"),
        ("NK cells", "natural killer cell"),
        ("CD4 T cells", "CD4-positive, alpha-beta T cell"),
        ("Tregs", "regulatory T cell"),
    ],
)
def test_names_as_people_write_them(ontology, name, label):
    assert ontology.labels[ontology.find(name)] == label


def test_unknown_names_are_not_guessed(ontology):
    assert ontology.find("cluster 7") is None
    assert ontology.find("") is None


def test_common_ancestor_of_islet_cells(ontology):
    beta, alpha, acinar = map(
        ontology.find, ("pancreatic beta cell", "pancreatic A cell", "pancreatic acinar cell")
    )
    assert ontology.labels[ontology.common([beta, alpha])] == "pancreatic endocrine cell"
    assert ontology.common([beta]) == beta
    wider = ontology.common([beta, alpha, acinar])
    assert {wider} <= ontology.ancestors(ontology.common([beta, alpha]))
    assert ontology.says_something(wider)
    macrophage = ontology.find("macrophage")
    assert not ontology.says_something(ontology.common([beta, macrophage]))


def test_same_answers_as_the_source(ontology, data_dir):
    source = data_dir / "knowledge" / "CL-ontology-v2026-03-26.json.gz"
    with gzip.open(source) as handle:
        terms = json.load(handle)
    assert ontology.labels == {t: e["label"] for t, e in terms.items() if not e["deprecated"]}
    for term in ("CL:0000169", "CL:0001054", "CL:0000624"):
        assert ontology.ancestors(term) == {term, *terms[term]["ancestors"]}
    assert load_ontology(source).parents == ontology.parents


def test_roll_up_sums_what_lies_below(ontology):
    labels = ["type B pancreatic cell", "pancreatic A cell", "macrophage", "cluster 7"]
    terms = [ontology.find(label) for label in labels]
    sets = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [1, 0, 1, 0], [0, 0, 1, 1], [0, 0, 0, 0]], bool)
    given = np.tile([0.5, 0.3, 0.15, 0.05], (5, 1))
    ids, summed = roll_up(ontology, terms, sets, given)
    assert [ontology.labels.get(term, "") for term in ids] == [
        "pancreatic endocrine cell", "type B pancreatic cell", "", "", "",
    ]  # fmt: skip
    assert summed.tolist() == pytest.approx([0.8, 0.5, 0, 0, 0])


def test_bad_files_are_told(tmp_path):
    with pytest.raises(MissingError, match="no ontology file"):
        load_ontology(tmp_path / "none.json")
    (tmp_path / "bad.tsv").write_text("a\tb\n1\t2\n")
    with pytest.raises(InputError, match="no ontology that pancyte can read"):
        load_ontology(tmp_path / "bad.tsv")
