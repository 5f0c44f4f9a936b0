"""Real data for every test: what pancyte ships, and the larger sets where they are."""

from __future__ import annotations

import os

# Two workers share the cores, and threads of one would wait for those of the other. NumPy and
# PyTorch read this when they are imported; programs that a test starts inherit it.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData

from pancyte._settings import settings
from pancyte.corpus.cells import to_cells
from pancyte.corpus.datasets import SHIPPED, load_dataset
from pancyte.corpus.splits import stratified_subsample
from pancyte.shapes import Cells

BESIDE = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def demo_path() -> Path:
    return SHIPPED / "pancreas.h5ad"


@pytest.fixture(scope="session")
def pancreas() -> AnnData:
    """3,274 cells of four studies, shared by all tests: copy before changing."""
    return load_dataset("demo-pancreas")


@pytest.fixture(scope="session")
def data_dir() -> Iterator[Path]:
    """Folder of the larger datasets, which `load_dataset` then finds too."""
    folder = Path(os.environ.get("PANCYTE_DATA") or BESIDE)
    if not folder.is_dir():
        pytest.skip(f"needs the benchmark data: {folder} is absent; PANCYTE_DATA may name another")
    before, settings.data_dir = settings.data_dir, folder
    yield folder
    settings.data_dir = before


@pytest.fixture(scope="session")
def _few(pancreas: AnnData) -> AnnData:
    few = pancreas[::33].copy()
    detected = few.X.getnnz(axis=0) >= 2
    return few[:, detected][:, ::4].copy()


@pytest.fixture
def cells(_few: AnnData) -> Cells:
    """100 cells of all studies × a quarter of the detected genes."""
    return to_cells(_few)


@pytest.fixture(scope="session")
def cells_file(_few: AnnData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same cells as an h5ad."""
    path = tmp_path_factory.mktemp("cells") / "cells.h5ad"
    _few.write_h5ad(path)
    return path


STUDIES = ("Fasolino 2022", "Muraro 2016", "Tritschler 2022")


@pytest.fixture(scope="session")
def three_studies(pancreas: AnnData) -> Cells:
    """About 480 cells of three studies and 3,000 abundant genes, small enough to repeat."""
    whole = to_cells(pancreas[pancreas.obs["study"].isin(STUDIES)].copy(), name="pancreas")
    rows = stratified_subsample(
        whole.obs[["study", "cell_type"]].agg(" ".join, axis=1), 0.3, seed=0
    )
    part = whole.select(rows)
    genes = np.argsort(-part.counts.getnnz(axis=0), kind="stable")[:3000]
    return replace(part, counts=part.counts[:, genes], features=part.features.iloc[genes])
