"""Cells drawn from known profiles, with a small group whose genes no other cell has."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from pancyte.shapes import Cells

GENES, MARKERS, COMMON, FEW = 300, 12, 150, 8


def made(counts: np.ndarray) -> Cells:
    matrix = csr_matrix(np.asarray(counts, dtype=np.float32))
    obs = pd.DataFrame(index=[f"cell {i}" for i in range(matrix.shape[0])])
    return Cells(matrix, pd.DataFrame(index=[f"G{i}" for i in range(matrix.shape[1])]), obs)


def rates(rng: np.random.Generator) -> np.ndarray:
    """Two types that differ in twenty genes, and a third with twelve genes of its own."""
    base = rng.gamma(0.5, 1.0, GENES)
    base[-MARKERS:] = 0.01
    types = np.tile(base, (3, 1))
    types[0, :20], types[1, 20:40] = 6.0, 6.0
    types[2] = types[0]
    types[2, -MARKERS:] = 4.0
    return types


def drawn(few: int, *, common: int = COMMON, seed: int = 0) -> tuple[Cells, np.ndarray]:
    """`common` cells of either type and `few` of the third, in random order; who is of that."""
    rng = np.random.default_rng(seed)
    kinds = np.repeat([0, 1, 2], [common, common, few])
    rng.shuffle(kinds)
    depth = rng.lognormal(0, 0.3, len(kinds))
    return made(rng.poisson(rates(rng)[kinds] * depth[:, None])), kinds == 2


@pytest.fixture(scope="session")
def planted():
    return drawn(FEW)


@pytest.fixture(scope="session")
def plain():
    return drawn(0)[0]
