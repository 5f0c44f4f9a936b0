from __future__ import annotations

import numpy as np
import pytest

from pancyte import files, registry
from pancyte._settings import settings
from pancyte.corpus.checks import inspect
from pancyte.corpus.datasets import NamedDataset, load_dataset
from pancyte.errors import IntegrityError, MissingError, UsageError

NAMES = registry.names("datasets")


def test_the_shipped_data(pancreas, demo_path):
    assert pancreas.shape == (3274, 21380)
    assert pancreas.X.dtype == np.int32
    assert pancreas.X.sum() == 29552021
    assert pancreas.obs["cell_type"].nunique() == 9
    assert pancreas.obs.groupby("study", observed=True)["donor"].nunique().to_dict() == {
        "Fasolino 2022": 6,
        "Muraro 2016": 4,
        "Tosti 2021": 5,
        "Tritschler 2022": 5,
    }
    assert demo_path.stat().st_size < 7e6


@pytest.mark.parametrize("name", NAMES)
def test_entries_are_what_they_say(name):
    entry = registry.get("datasets", name)
    assert isinstance(entry, NamedDataset)
    assert entry.name == name
    assert entry.licence
    assert entry.citation
    for other in entry.shares_cells_with:
        assert name in registry.get("datasets", other).shares_cells_with


@pytest.mark.parametrize("name", NAMES)
def test_every_dataset_loads(data_dir, name):
    entry, adata = registry.get("datasets", name), load_dataset(name)
    found = inspect(adata)
    assert found.counts_in == "X"
    assert found.species == entry.species
    for key in filter(None, (entry.label_key, entry.batch_key)):
        assert adata.obs[key].nunique() > 1
    assert not set(entry.unlabelled) & set(adata.obs.get(entry.label_key, ()))


def test_a_view_keeps_some_cells(data_dir):
    whole, control = load_dataset("kang-pbmc-ifnb"), load_dataset("kang-control")
    assert set(control.obs["condition"]) == {"ctrl"}
    assert control.n_obs == (whole.obs["condition"] == "ctrl").sum()


def test_unknown_labels_are_missing(data_dir):
    labels = load_dataset("pbmc3k").obs["cell_type"]
    assert labels.isna().sum() == 62
    assert labels.nunique() == 8


def test_data_that_are_not_there(monkeypatch, tmp_path):
    monkeypatch.setattr(settings, "data_dir", None)
    with pytest.raises(MissingError, match=r"no data folder is set.*Set PANCYTE_DATA"):
        load_dataset("pbmc3k")
    monkeypatch.setattr(settings, "data_dir", tmp_path)
    with pytest.raises(MissingError, match=f"not in {tmp_path}.*desc 2.1.1"):
        load_dataset("pbmc3k")
    with pytest.raises(UsageError, match="Did you mean 'pbmc3k'"):
        load_dataset("pbmc3")


def test_another_file_of_the_same_name(monkeypatch, tmp_path, demo_path):
    monkeypatch.setattr(settings, "data_dir", tmp_path)
    entry = registry.get("datasets", "pbmc3k")
    (tmp_path / entry.file).parent.mkdir()
    (tmp_path / entry.file).write_bytes(demo_path.read_bytes())
    with pytest.raises(IntegrityError, match=f"SHA-256 is {files.sha256(demo_path)[:16]}"):
        load_dataset("pbmc3k")
