"""Files are gone through a slab at a time: larger than memory is fine, hostile is not."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from pancyte.corpus import budget, hdf5
from pancyte.errors import IntegrityError, ResourceError
from pancyte.store import rows
from pancyte.store.rows import rows_of


@pytest.fixture
def path(pancreas, tmp_path):
    few = pancreas[::16, :1500].copy()
    few.layers["dense"] = few.X.toarray()
    few.write_h5ad(tmp_path / "sample.h5ad")
    return tmp_path / "sample.h5ad"


def test_a_file_larger_than_memory_is_only_refused_as_a_whole(path, monkeypatch):
    monkeypatch.setattr(budget, "machine_memory", lambda: 200_000)
    with pytest.raises(ResourceError, match="unpacks to"):
        hdf5.check(path)
    assert hdf5.check(path, streamed=True).kind == "h5ad"
    monkeypatch.setattr(budget, "machine_memory", lambda: 20_000)
    with pytest.raises(ResourceError, match="unpacks to"):
        hdf5.check(path, streamed=True)


@pytest.mark.parametrize("layer", [None, "dense"])
def test_slabs_are_the_cells_in_their_order(path, pancreas, monkeypatch, layer):
    monkeypatch.setattr(rows, "SLAB", 50)
    streamed = rows_of(path, layer=layer)
    slabs = list(streamed.slabs())
    assert [len(slab) for slab in slabs] == [50, 50, 50, 50, 5]
    found = np.concatenate([slab.counts.toarray() for slab in slabs])
    assert np.array_equal(found, pancreas[::16, :1500].X.toarray())


@pytest.mark.parametrize("dense", [True, False])
def test_a_slab_larger_than_memory_is_refused(path, monkeypatch, dense):
    with h5py.File(path, "a") as handle:
        del handle["X" if dense else "layers/dense"]
    monkeypatch.setattr(budget, "machine_memory", lambda: 300_000)
    with pytest.raises(ResourceError, match=r"cells 0 to 205, unpacks to"):
        rows_of(path)


def test_what_a_file_cannot_hold_is_refused(path):
    with h5py.File(path, "a") as handle:
        del handle["X"]
        handle.create_dataset("X", (205, 1 << 40), "f4", chunks=(1, 1 << 20), compression="gzip")
    with pytest.raises(IntegrityError, match="X declares 839,680"):
        rows_of(path)
