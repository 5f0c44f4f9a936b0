"""Suites: the shipped ones are valid, and a mistake in one is told with the names known."""

import numpy as np
import pytest

from pancyte.benchmark.suite import Source, load_suite, run_suite, selected, shipped_suites
from pancyte.errors import InputError, UsageError
from pancyte.tasks.annotation import Annotation

GOOD = """
name: own
seeds: 1
runs:
  - name: own pancreas
    tasks: [annotation]
    reference: {source: demo-pancreas, label_key: cell_type, batch_key: study}
    split_by: study
    held_out: [Muraro 2016]
    learn_from: [Tritschler 2022]
"""


def written(tmp_path, text):
    path = tmp_path / "own.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", shipped_suites())
def test_shipped_suites_are_valid_and_ask_with_five_seeds(name):
    suite = load_suite(name)
    assert suite.name == name
    assert suite.seeds >= 5
    assert suite.description


def test_shipped_suites():
    assert shipped_suites() == [
        "few-shot",
        "kang",
        "pancreas",
        "pancreas-donors",
        "pbmc",
        "stress",
        "zero-shot",
    ]


def test_a_suite_of_ones_own_runs_with_all_baselines(tmp_path):
    results = run_suite(load_suite(written(tmp_path, GOOD)), [])
    assert not results.failed
    expected = {"majority", "pca", "l1-logistic", "self-trained", "harmony"}
    assert set(results.table.method) == expected
    assert set(results.table.dataset) == {"own pancreas"}
    assert results.table.baseline.all()
    assert results.verdicts == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("split_by", "splitby"), r"splitby is no known field \(known: .*split_by"),
        (("label_key", "labels"), r"reference\.label_key: field required"),
        (("[annotation]", "[anotation]"), "No task is registered as 'anotation'.*'annotation'"),
        (("seeds: 1", "seeds: 0"), "seeds: input should be greater than or equal to 1"),
        (("name: own\n", "name: [\n"), "not readable as YAML"),
        (("seeds: 1", "seed: 1"), r"seed is no known field \(known: name, description, seeds"),
        (
            ("batch_key", "batchkey"),
            r"batchkey is no known field \(known: source, keep, without, label_key",
        ),
    ],
    ids=lambda value: value[1].strip() if isinstance(value, tuple) else "",
)
def test_a_mistake_is_told_with_the_known_names(change, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        load_suite(written(tmp_path, GOOD.replace(*change)))


def test_an_unknown_suite_and_an_unknown_group_are_told(tmp_path):
    with pytest.raises(UsageError, match=r"no suite 'pancras'.*pancreas"):
        load_suite("pancras")
    suite = load_suite(written(tmp_path, GOOD.replace("[Muraro 2016]", "[Muraro]")))
    with pytest.raises(InputError, match=r"no group 'Muraro'.*'Muraro 2016'"):
        run_suite(suite, [])


def test_datasets_with_cells_in_common_never_test_each_other(tmp_path):
    query = "query: {source: pancreas-4studies, label_key: cell_type}\n    split_by: study"
    suite = load_suite(written(tmp_path, GOOD.replace("split_by: study", query)))
    with pytest.raises(
        UsageError, match="demo-pancreas and pancreas-4studies have cells in common"
    ):
        run_suite(suite, [])


def test_a_source_keeps_and_renames_what_it_says(cells):
    source = Source(
        source="pancreas",
        label_key="cell_type",
        keep={"study": ["Muraro 2016", "Tritschler 2022"]},
        relabel={"pancreatic A cell": "alpha", "type B pancreatic cell": "beta"},
    )
    chosen = selected(cells, source)
    assert set(chosen.obs["study"]) == {"Muraro 2016", "Tritschler 2022"}
    before = cells.obs.loc[chosen.obs.index, "cell_type"].astype(str).to_numpy()
    after = chosen.obs["cell_type"].to_numpy()
    assert (after[before == "pancreatic A cell"] == "alpha").all()
    untouched = ~np.isin(before, list(source.relabel))
    np.testing.assert_array_equal(after[untouched], before[untouched])
    with pytest.raises(InputError, match=r"no study 'Muraro'.*Muraro 2016"):
        selected(cells, source.model_copy(update={"keep": {"study": ["Muraro"]}}))


def test_blood_of_two_laboratories_is_asked_about_by_common_names(data_dir):
    suite = load_suite("pbmc")
    run = suite.runs[0]
    from pancyte.corpus.sources import load_cells

    dataset = run.dataset(lambda source: selected(load_cells(source.source, data_dir), source))
    (split,) = Annotation().splits(dataset, [0])
    assert split.fold == "pbmc3k → kang-control"
    assert set(split.reference_labels) == set(split.query_labels)
    assert "unassigned" not in split.reference_labels
    assert len(split.query) == 6548
