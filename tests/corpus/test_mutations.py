"""Random damage to real files of every core format: one message, never a crash or a long wait."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData, settings
from scipy.io import mmwrite
from scipy.sparse import csc_matrix

from pancyte.corpus.read import read
from pancyte.errors import PancyteError

pytestmark = pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")


def _h5ad(adata: AnnData, path: Path) -> None:
    adata.write_h5ad(path, compression="gzip")


def _zarr(adata: AnnData, path: Path) -> None:
    with settings.override(zarr_write_format=3, auto_shard_zarr_v3=False):
        adata.write_zarr(path)


def _zarr_zip(adata: AnnData, path: Path) -> None:
    _zarr(adata, path.with_name("whole.store"))
    Path(shutil.make_archive(str(path), "zip", path.with_name("whole.store"))).rename(path)


def _mex(adata: AnnData, path: Path) -> None:
    path.mkdir()
    mmwrite(path / "matrix.mtx", csc_matrix(adata.X.T))
    adata.var.reset_index().to_csv(path / "genes.tsv", sep="\t", header=False, index=False)
    (path / "barcodes.tsv").write_text("\n".join(adata.obs_names))


def _frame(adata: AnnData) -> pd.DataFrame:
    return adata.to_df().astype(int)


def _csv(adata: AnnData, path: Path) -> None:
    _frame(adata).to_csv(path)


def _csv_gz(adata: AnnData, path: Path) -> None:
    path.write_bytes(gzip.compress(_frame(adata).to_csv().encode()))


def _parquet(adata: AnnData, path: Path) -> None:
    _frame(adata).to_parquet(path)


WRITERS = {
    "h5ad": _h5ad,
    "zarr": _zarr,
    "zarr.zip": _zarr_zip,
    "mex": _mex,
    "csv": _csv,
    "csv.gz": _csv_gz,
    "parquet": _parquet,
}


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())


def _damage(path: Path, rng: np.random.Generator) -> None:
    """Overwrite, cut, or repeat a part of one file."""
    files = _files(path)
    file = files[rng.integers(len(files))]
    data = file.read_bytes()
    start = int(rng.integers(len(data) + 1))
    width = int(rng.integers(1, 64))
    noise = rng.integers(0, 256, width).astype(np.uint8).tobytes()
    file.write_bytes(
        [
            data[:start] + noise + data[start + width :],
            data[:start],
            data[:start] + data[max(0, start - width) :],
        ][rng.integers(3)]
    )


def _survives(write: Callable[[AnnData, Path], None], adata: AnnData, folder: Path, times: int):
    """Damage a file `times` times; every reading must end well, or in one clear refusal."""
    whole = folder / "whole"
    write(adata, whole)
    assert read(whole, quiet=True).shape == adata.shape
    rng = np.random.default_rng(0)
    refused = 0
    for number in range(times):
        path = folder / f"damaged {number}"
        (shutil.copytree if whole.is_dir() else shutil.copy)(whole, path)
        _damage(path, rng)
        try:
            read(path, quiet=True)
        except PancyteError as error:
            assert error.exit_code in (3, 5, 6), error  # noqa: PT017
            refused += 1
    assert refused > 0


@pytest.mark.parametrize("kind", WRITERS)
def test_damage_is_refused_or_harmless(small, tmp_path, kind):
    _survives(WRITERS[kind], small[:40, :200].copy(), tmp_path, 6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", WRITERS)
def test_a_thousand_damages_are_refused_or_harmless(small, tmp_path, kind):
    _survives(WRITERS[kind], small[:40, :200].copy(), tmp_path, 1000)
