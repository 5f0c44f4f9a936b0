from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import zarr
from anndata import AnnData, settings
from scipy.sparse import csc_matrix, csr_matrix

from pancyte.corpus.read import read
from pancyte.errors import InputError, IntegrityError
from tests.corpus.accidents import same_counts

# said on writing; reading must stay silent by itself
pytestmark = [
    pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part"),
    pytest.mark.filterwarnings("ignore:Writing zarr v2 data"),
]


def _write(adata: AnnData, path: Path, version: int = 3, *, shard=False, **how) -> Path:
    wanted = {"zarr_write_format": version, "auto_shard_zarr_v3": shard}
    with settings.override(**wanted):
        adata.write_zarr(path, **how)
    return path


def _zipped(store: Path) -> Path:
    return Path(shutil.make_archive(str(store.with_suffix("")), "zip", store))


def _chunked(adata: AnnData, path: Path, shape: tuple[int, int], *, empty: bool) -> Path:
    adata.X = adata.X.toarray()
    with zarr.config.set({"array.write_empty_chunks": empty}):
        return _write(adata, path, chunks=shape)


@pytest.mark.parametrize(
    ("version", "shard"), [(2, False), (3, False), (3, True)], ids=["v2", "v3", "v3 sharded"]
)
@pytest.mark.parametrize(
    ("kind", "packed"),
    [("csr", False), ("csr", True), ("csc", False), ("dense", False)],
    ids=["csr", "csr zipped", "csc", "dense"],
)
def test_reads_back_equal(small, tmp_path, version, shard, kind, packed):
    given = small.X
    small.X = {"csr": given, "csc": csc_matrix(given), "dense": given.toarray()}[kind]
    small.obsm["X_pca"] = np.ones((small.n_obs, 2))
    path = _write(small, tmp_path / "cells.zarr", version, shard=shard)
    adata = read(_zipped(path) if packed else path)
    assert adata.obs.equals(small.obs)
    assert adata.var.equals(small.var)
    assert same_counts(csc_matrix(adata.X), csc_matrix(given))
    assert np.array_equal(adata.obsm["X_pca"], small.obsm["X_pca"])


def _pieces(store: Path, array: str) -> list[Path]:
    """The files of an array's pieces, largest last."""
    files = [file for file in (store / array).rglob("*") if file.is_file()]
    pieces = [
        file for file in files if file.name.lstrip(".") not in ("zarray", "zattrs", "zarr.json")
    ]
    return sorted(pieces, key=lambda file: file.stat().st_size)


@pytest.mark.parametrize(
    ("array", "version"),
    [("X/data", 2), ("X/data", 3), ("X/indices", 3), ("X/indptr", 3), ("obs/_index", 3)],
)
def test_a_partial_copy_is_refused(small, tmp_path, array, version):
    path = _write(small, tmp_path / "cells.zarr", version)
    group = zarr.open_group(path, mode="a", use_consolidated=False)
    item = group[array]
    values, attributes = item[:], dict(item.attrs)
    thirds = -(-len(values) // 3)
    item = group.create_array(
        array, shape=values.shape, dtype=item.dtype, chunks=(thirds,), overwrite=True
    )
    item[:] = values
    item.attrs.update(attributes)
    zarr.consolidate_metadata(group.store)
    if array == "obs/_index":
        assert read(path).n_obs == small.n_obs
    _pieces(path, array)[-2].unlink()
    with pytest.raises(
        IntegrityError, match=f"{array} lacks 1 of its 3 pieces: the copy is partial"
    ):
        read(path)


def test_dense_pieces_that_were_never_written_are_told(small, tmp_path, capsys):
    # the second half of the genes, in the first half of the cells, was not detected
    counts = small.X.toarray()
    counts[:100, 750:] = 0
    small.X = csr_matrix(counts)
    path = _chunked(small, tmp_path / "cells.zarr", (100, 750), empty=False)
    adata = read(path)
    assert np.array_equal(adata.X, counts)
    assert "X lacks 1 of its 6 pieces, which were read as zeros" in capsys.readouterr().err


def test_dense_cells_without_any_piece_are_refused(small, tmp_path):
    path = _chunked(small, tmp_path / "cells.zarr", (100, 750), empty=True)
    for place in (0, 1):
        (path / "X" / "c" / "1" / str(place)).unlink()
    with pytest.raises(IntegrityError, match="X lacks all pieces of rows 100 to 199"):
        read(path)


def _set(array: str, place: int, value: int):
    def change(path: Path) -> None:
        zarr.open_group(path, mode="a", use_consolidated=False)[array][place] = value

    return change


def _metadata(path: Path) -> None:
    (path / "zarr.json").write_text((path / "zarr.json").read_text()[:-200])


def _piece(path: Path) -> None:
    largest = _pieces(path, "X/data")[-1]
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])


def test_a_dense_matrix_of_zeros_needs_no_pieces(small, tmp_path):
    # 64 MiB is what any array may declare without proof
    small.obsm["zeros"] = np.zeros((small.n_obs, 1 << 16))
    with zarr.config.set({"array.write_empty_chunks": False}):
        store = _write(small, tmp_path / "cells.zarr")
    adata = read(store)
    assert adata.obsm["zeros"].shape == (205, 1 << 16)
    assert not adata.obsm["zeros"].any()


def _bomb(path: Path) -> None:
    file = path / "X" / "data" / "zarr.json"
    array = json.loads(file.read_text())
    array["shape"] = [1 << 40]
    file.write_text(json.dumps(array))
    root = json.loads((path / "zarr.json").read_text())
    root.pop("consolidated_metadata")
    (path / "zarr.json").write_text(json.dumps(root))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_set("X/indptr", 7, 10**8), "X/indptr falls at entry 8"),
        (_set("X/indices", 11, 1500), "X/indices points at 1,500, outside 0 … 1,499"),
        (_set("obs/cell_type/codes", 2, 99), "obs/cell_type has category codes outside"),
        (_metadata, "metadata cannot be read"),
        (_piece, "is damaged"),
        (_bomb, "X/data declares .* GiB, but stores far less"),
    ],
    ids=["indptr", "indices", "codes", "metadata", "truncated piece", "bomb"],
)
def test_damage(small, tmp_path, change, said):
    path = _write(small, tmp_path / "cells.zarr")
    change(path)
    with pytest.raises(IntegrityError, match=said):
        read(path)


def test_truncated_zip(small, tmp_path):
    path = _zipped(_write(small, tmp_path / "cells.zarr"))
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(IntegrityError, match="a zip archive whose list of contents is not there"):
        read(path)


def test_zip_of_something_else(tmp_path):
    with zipfile.ZipFile(tmp_path / "counts.zip", "w") as archive:
        archive.writestr("counts.csv", "gene,a\nTP53,1\n")
    with pytest.raises(InputError, match="is a zip archive, but not of a zarr store"):
        read(tmp_path / "counts.zip")


def test_zip_that_unpacks_without_end(small, tmp_path):
    path = _zipped(_write(small, tmp_path / "cells.zarr"))
    data = bytearray(path.read_bytes())
    # the size of the last entry, 24 bytes into its record of the list of contents
    last = data.rindex(b"PK\x01\x02")
    data[last + 24 : last + 28] = b"\xfe\xff\xff\xff"
    path.write_bytes(bytes(data))
    with pytest.raises(IntegrityError, match=r"its entry .* declares 4\.0 GiB"):
        read(path)


def test_pickles_are_refused_before_they_run(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = _write(small, tmp_path / "cells.zarr", 2)
    (path / "uns" / "note").mkdir(parents=True)
    array = {
        "zarr_format": 2, "shape": [1], "chunks": [1], "dtype": "<f8", "fill_value": 0,
        "order": "C", "compressor": None, "filters": [{"id": "pickle", "protocol": 5}],
    }  # fmt: skip
    (path / "uns" / "note" / ".zarray").write_text(json.dumps(array))
    (path / "uns" / "note" / "0").write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    (path / ".zmetadata").unlink()
    with pytest.raises(IntegrityError, match="pickle"):
        read(path)
    assert not (tmp_path / "ran").exists()


def test_other_zarr(tmp_path):
    zarr.open_group(tmp_path / "image.zarr", mode="w").create_array("0", shape=(3,), dtype="f4")
    with pytest.raises(InputError, match=r"neither AnnData, MuData nor SpatialData.*; it holds 0"):
        read(tmp_path / "image.zarr")


def _spatial(path: Path, tables: dict[str, AnnData]) -> Path:
    """A store as spatialdata writes it: elements by kind, tables as AnnData."""
    root = zarr.open_group(path, mode="w")
    root.create_group("images")
    root.create_group("tables")
    for name, adata in tables.items():
        _write(adata, path / "tables" / name)
    zarr.consolidate_metadata(root.store)
    return path


def test_the_table_of_spatialdata(small, tmp_path, capsys):
    path = _spatial(tmp_path / "tissue.zarr", {"cells": small})
    adata = read(path)
    assert same_counts(adata.X, small.X)
    assert adata.obs.equals(small.obs)
    assert "Took the table cells of SpatialData; left out images." in capsys.readouterr().err


def test_several_tables_of_spatialdata_ask_which(small, tmp_path):
    path = _spatial(tmp_path / "tissue.zarr", {"spots": small[:50].copy(), "cells": small})
    with pytest.raises(InputError, match=r"2 tables: (spots, cells|cells, spots).*/tables/"):
        read(path)
    assert read(path / "tables" / "spots").n_obs == 50
