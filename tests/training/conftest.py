"""One small run for the tests of training."""

import pytest

from pancyte.store.build import build
from pancyte.training.run import Run

SMALL = {
    "name": "small",
    "tokenizer": {"name": "continuous", "max_length": 48},
    "backbone": {"name": "transformer", "depth": 2, "width": 32, "dropout": 0.1},
    "objective": {"name": "masked_value"},
    "loop": {"steps": 6, "tokens_per_step": 1024, "checkpoint_every": 2, "validate_every": 6},
}


@pytest.fixture(scope="session")
def corpus(cells_file, tmp_path_factory):
    """The same cells as a corpus, which is opened faster than a file is checked."""
    folder = tmp_path_factory.mktemp("stored") / "corpus"
    build(folder, [str(cells_file)])
    return folder


@pytest.fixture
def small(corpus):
    """Make a run of a few steps; keywords are settings of its loop."""

    def make(parts=None, **loop):
        given = {**SMALL, "train": [str(corpus)], **(parts or {})}
        return Run.model_validate({**given, "loop": {**SMALL["loop"], **loop}})

    return make
