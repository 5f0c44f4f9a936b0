from __future__ import annotations

import warnings

import pytest

from pancyte.corpus.read import read
from pancyte.errors import InputError, IntegrityError, MissingError
from tests.corpus.accidents import same_counts


@pytest.fixture(scope="module")
def soma():
    with warnings.catch_warnings():
        # its own imports, of scanpy among others
        warnings.simplefilter("ignore")
        pytest.importorskip("tiledbsoma")
        import tiledbsoma.io

        return tiledbsoma


@pytest.fixture
def experiment(soma, small, tmp_path):
    few = small[:50, :300].copy()
    few.uns.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        soma.io.from_anndata(
            str(tmp_path / "cells.soma"), few, measurement_name="RNA", X_layer_name="counts"
        )
    return tmp_path / "cells.soma", few


def test_experiment(experiment):
    path, given = experiment
    adata = read(path)
    assert list(adata.obs_names) == list(given.obs_names)
    assert list(adata.var_names) == list(given.var_names)
    assert list(adata.obs["donor"]) == list(given.obs["donor"])
    assert same_counts(adata.X, given.X)


def test_part_of_an_experiment_is_none(experiment):
    with pytest.raises(InputError, match="is a SOMAMeasurement, not a SOMA experiment"):
        read(experiment[0] / "ms" / "RNA")


def test_partial_copy(experiment):
    path, _ = experiment
    pieces = [file for file in (path / "ms").rglob("*.tdb") if "__fragments" in str(file)]
    max(pieces, key=lambda file: file.stat().st_size).unlink()
    with pytest.raises(IntegrityError, match="is damaged"):
        read(path)


def test_without_tiledbsoma(tmp_path, monkeypatch):
    (tmp_path / "cells.soma" / "__group").mkdir(parents=True)
    (tmp_path / "tiledbsoma.py").write_text("raise ImportError('not installed')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingError, match=r"needs tiledbsoma.*pancyte\[soma\]"):
        read(tmp_path / "cells.soma")
