"""Real cells for tasks: a part of the shipped pancreas studies, small enough to repeat."""

from dataclasses import replace

import numpy as np
import pytest

from pancyte.corpus.cells import to_cells
from pancyte.corpus.splits import stratified_subsample
from pancyte.shapes import Cells
from pancyte.tasks.dataset import Dataset

STUDIES = ("Fasolino 2022", "Muraro 2016", "Tritschler 2022")


@pytest.fixture(scope="session")
def cells(pancreas) -> Cells:
    """About 480 cells of three studies and 3,000 abundant genes."""
    whole = to_cells(pancreas[pancreas.obs["study"].isin(STUDIES)].copy(), name="pancreas")
    rows = stratified_subsample(
        whole.obs[["study", "cell_type"]].agg(" ".join, axis=1), 0.3, seed=0
    )
    part = whole.select(rows)
    genes = np.argsort(-part.counts.getnnz(axis=0), kind="stable")[:3000]
    return replace(part, counts=part.counts[:, genes], features=part.features.iloc[genes])


@pytest.fixture(scope="session")
def dataset(cells) -> Dataset:
    return Dataset(cells, "cell_type", "study", split_by="study")
