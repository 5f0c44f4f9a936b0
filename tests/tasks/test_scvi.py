"""scVI is a yardstick that CI does not install; run these where ``pancyte[scvi]`` is."""

from dataclasses import replace

import numpy as np
import pytest

from pancyte.metrics.mixing import batch_mixing
from pancyte.tasks.baselines import PCA
from pancyte.tasks.scvi import SCANVI, SCVI

pytest.importorskip("scvi", reason="scvi-tools is not installed")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_scvi_mixes_studies_more_than_pca_and_repeats_itself(dataset):
    cells = dataset.cells
    (ours,) = SCVI().embed(cells, batch_key="study", seed=0)
    (again,) = SCVI().embed(cells, batch_key="study", seed=0)
    np.testing.assert_array_equal(ours, again)
    (plain,) = PCA().embed(cells, batch_key="study", seed=0)
    labels, studies = (cells.obs[key].astype(str).to_numpy() for key in ("cell_type", "study"))
    assert batch_mixing(ours, labels, studies) > batch_mixing(plain, labels, studies)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_scanvi_takes_any_number_of_cells(three_studies):
    """Of 143 cells it learns from 129, and minibatches of 128 would leave one over."""
    cells = three_studies.select(np.arange(0, 429, 3))
    labels = cells.obs["cell_type"].astype(str).to_numpy().copy()
    labels[::2] = ""
    told = replace(cells, obs=cells.obs.assign(told=labels))
    (found,) = SCANVI("told").embed(told, batch_key="study", seed=0)
    assert found.shape == (143, 10)
    assert np.isfinite(found).all()
