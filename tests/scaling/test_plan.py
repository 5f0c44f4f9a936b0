"""Sweep files: which runs follow from them, and which mistakes are named."""

import pytest
import yaml

from pancyte.errors import InputError, MissingError
from pancyte.scaling.plan import load_scale
from pancyte.scaling.points import Point, compared, grid, points, run_of, varied

SWEEP = {
    "name": "small",
    "base": {
        "train": ["demo-pancreas"],
        "held_out": ["baron-human"],
        "objective": {"name": "combined", "parts": [{"name": "masked_value"}]},
        "loop": {"tokens_per_step": 512},
    },
    "sizes": {"s": {"depth": 1, "width": 8}, "m": {"depth": 2, "width": 16}},
    "cells": [10, 20, 40],
    "seeds": 2,
    "compare": [
        {"sizes": ["s"], "cells": [10, 20], "sources": 1},
        {"sizes": ["m"], "cells": [10], "tokens": 5000},
    ],
    "sensitivity": {
        "size": "s",
        "cells": 20,
        "vary": {"loop.rate": [1e-3, 1e-2], "objective.parts.0.ratio": [0.1, 0.3], "seed": [0, 1]},
    },
}


@pytest.fixture
def written(tmp_path):
    def write(**changes):
        path = tmp_path / "sweep.yaml"
        path.write_text(yaml.safe_dump({**SWEEP, **changes}))
        return path

    return write


def test_every_run_once_and_the_first_seed_first(written):
    scale = load_scale(written())
    assert len(grid(scale)) == 12
    assert [len(compared(scale, part)) for part in scale.compare] == [4, 2]
    assert len(varied(scale)) == 8
    every = points(scale)
    assert len({point.name for point in every}) == len(every) == 12 + 6 + 8
    assert [point.seed for point in every[:6]] == [0] * 6


def test_a_point_becomes_a_run(written):
    scale = load_scale(written())
    changes = (("loop.rate", 0.01), ("objective.parts.0.ratio", 0.1), ("backbone.depth", 3))
    run = run_of(scale, Point("m", 20, 1, changes=changes), steps=7)
    assert (run.loop.steps, run.loop.rate, run.loop.seed) == (7, 0.01, 1)
    assert run.loop.tokens_per_step == 512
    assert run.backbone.config == {"depth": 3, "width": 16}
    assert run.objective.config["parts"] == [{"name": "masked_value", "ratio": 0.1}]
    untouched = run_of(scale, Point("m", 20, 0), steps=7)
    assert untouched.objective.config["parts"] == [{"name": "masked_value"}]


def test_sources_beside_the_file_are_found(written, tmp_path):
    (tmp_path / "mine.h5ad").touch()
    base = {**SWEEP["base"], "train": ["mine.h5ad"]}
    scale = load_scale(written(base=base))
    assert scale.base.train[0].source == str(tmp_path / "mine.h5ad")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cell": [1]}, "cell: extra inputs are not permitted"),
        ({"base": {"train": ["a"]}}, "held_out"),
        ({"base": {**SWEEP["base"], "weights": {"a": 2}}}, "base.weights: a sweep does not heed"),
        ({"base": {"held_out": ["a"]}}, "base.train: field required"),
        ({"compare": [{"sizes": ["l"], "cells": [1]}]}, "no size 'l'"),
        ({"compare": [{"sizes": ["s"], "cells": [1], "sources": 9}]}, "no 9 sources"),
        ({"sensitivity": {"size": "s", "cells": 1, "vary": {"rate": [1, 2]}}}, "'rate' is neither"),
        ({"sensitivity": {"size": "s", "cells": 1, "vary": {"seed": [1]}}}, "at least two"),
    ],
)
def test_mistakes_are_named(written, changes, said):
    with pytest.raises(InputError, match=said):
        load_scale(written(**changes))


def test_a_missing_file_or_setting(written, tmp_path):
    with pytest.raises(MissingError, match="no sweep file"):
        load_scale(tmp_path / "absent.yaml")
    scale = load_scale(written())
    with pytest.raises(InputError, match=r"loop\.pace"):
        run_of(scale, Point("s", 10, 0, changes=(("loop.pace", 1),)), steps=1)
