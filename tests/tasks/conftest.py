"""A part of the shipped pancreas studies, as cells and as a dataset."""

import pytest

from pancyte.shapes import Cells
from pancyte.tasks.dataset import Dataset


@pytest.fixture(scope="session")
def cells(three_studies) -> Cells:
    return three_studies


@pytest.fixture(scope="session")
def dataset(cells) -> Dataset:
    return Dataset(cells, "cell_type", "study", split_by="study")
