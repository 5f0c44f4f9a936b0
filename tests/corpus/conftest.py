"""A small piece of the shipped data, and files written from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from anndata import AnnData


@pytest.fixture(scope="session")
def _small(pancreas: AnnData) -> AnnData:
    return pancreas[::16, :1500].copy()


@pytest.fixture
def small(_small: AnnData) -> AnnData:
    """205 cells of all studies × the 1,500 most detected genes, to be changed at will."""
    return _small.copy()


@pytest.fixture
def written(tmp_path: Path) -> Callable[[AnnData], Path]:
    def write(adata: AnnData) -> Path:
        path = tmp_path / "sample.h5ad"
        adata.write_h5ad(path)
        return path

    return write
