import numpy as np
import pytest

import pancyte as pan
from pancyte.errors import UsageError


@pytest.fixture
def few(pancreas):
    kept = pancreas[::20].copy()
    return kept[:, np.asarray(kept.X.getnnz(axis=0)).ravel() > 10].copy()


def test_counts_are_left_and_the_layer_has_each_cells_depth(few):
    before = few.X.copy()
    pan.tl.denoise(few, method="pca-denoise", key_added="smooth")
    assert (before != few.X).nnz == 0
    layer = few.layers["smooth"]
    np.testing.assert_allclose(layer.sum(axis=1), np.asarray(before.sum(axis=1)).ravel(), rtol=1e-4)
    how = pan.tl.history(few)[-1]
    assert (how["verb"], how["method"], how["key"]) == ("denoise", "pca-denoise", "smooth")
    assert "Andrews" in how["warning"]


def test_without_a_method_withheld_reads_decide(few):
    copied = pan.tl.denoise(few, copy=True)
    assert not few.layers
    how = pan.tl.history(copied)[-1]
    assert how["method"] == min(how["withheld_deviance"], key=how["withheld_deviance"].get)
    assert set(how["withheld_deviance"]) == {"no-op", "pca-denoise", "magic-like"}


def test_a_layer_of_counts_is_not_written_over(few):
    few.layers["counts"] = few.X.copy()
    with pytest.raises(UsageError, match="'counts' already"):
        pan.tl.denoise(few, method="no-op", key_added="counts")
    pan.tl.denoise(few, method="no-op")
    pan.tl.denoise(few, method="no-op")


def test_methods_that_do_not_denoise_are_refused(few):
    with pytest.raises(UsageError, match="does not denoise"):
        pan.tl.denoise(few, method="lof")
    with pytest.raises(UsageError, match="needs a model"):
        pan.tl.denoise(few, method="model-head")
    with pytest.raises(UsageError, match="contrastive"):
        pan.tl.denoise(few, method="model-head", model="pancyte-mini")
