"""A sweep on real cells, small enough to repeat: whole, stopped, failed, reported."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml

from pancyte.errors import InputError, UsageError
from pancyte.scaling.estimate import estimate
from pancyte.scaling.plan import load_scale
from pancyte.scaling.points import points
from pancyte.scaling.pool import Pool
from pancyte.scaling.report import FIGURE, PAGE, TABLE, write_report
from pancyte.scaling.sweep import RECORD, records, sweep
from pancyte.training.log import LOSS

SWEEP = {
    "name": "small",
    "base": {
        "tokenizer": {"name": "continuous", "max_length": 32},
        "loop": {"tokens_per_step": 256},
    },
    "sizes": {
        "xs": {"depth": 1, "width": 4, "heads": 1},
        "s": {"depth": 1, "width": 8, "heads": 1},
        "m": {"depth": 1, "width": 12, "heads": 1},
    },
    "cells": [8, 16, 30],
    "compare": [
        {"sizes": ["s"], "cells": [8, 16], "sources": 1},
        {"sizes": ["s"], "cells": [8, 30], "tokens": 1500},
    ],
    "sensitivity": {
        "size": "xs",
        "cells": 8,
        "vary": {"loop.rate": [1e-3, 1e-2], "seed": [0, 1]},
    },
    "predict": {"cells": [1000], "parameters": [10_000]},
}
FEWEST = {key: SWEEP[key] for key in ("name", "base", "sizes")} | {"cells": [8, 16]}


@pytest.fixture(scope="module")
def written(tmp_path_factory, cells_file):
    source = str(cells_file)

    def write(given=SWEEP, **changes):
        studies = {"study": ["Muraro 2016"]}
        base = {
            **given["base"],
            "train": [
                {"source": source, "keep": {"study": ["Tosti 2021"]}},
                {"source": source, "without": {"study": ["Tosti 2021", "Muraro 2016"]}},
            ],
            "held_out": [{"source": source, "keep": studies}],
        }
        reference = {"source": source, "label_key": "cell_type", "batch_key": "study"}
        asked = {"name": "pancreas", "tasks": ["embedding"], "reference": reference}
        path = tmp_path_factory.mktemp("plan") / "sweep.yaml"
        path.write_text(yaml.safe_dump({**given, "base": base, "zero_shot": [asked], **changes}))
        return path

    return write


@pytest.fixture(scope="module")
def whole(written, tmp_path_factory):
    """A sweep that is done; a test may lose parts of it only to do them again."""
    scale, folder = load_scale(written()), tmp_path_factory.mktemp("sweep") / "out"
    return scale, sweep(scale, folder), folder


def test_a_sweep_from_file_to_report(whole):
    scale, found, folder = whole
    assert [record["error"] for record in found] == [""] * len(found)
    assert len(found) == len(points(scale)) + 3 + 1
    report = write_report(scale, found, folder)
    table = pd.read_csv(folder / TABLE)
    assert set(table["kind"]) == {"trained", "random", "pca"}
    trained = table[table["kind"] == "trained"]
    assert (trained["loss:cells"] > 0).all()
    assert (folder / FIGURE).stat().st_size > 10_000
    page = (folder / PAGE).read_text()
    for said in ("E + A/N^a + B/D^b", "random weights", "PCA", "Compared", "1,500 tokens", "H200"):
        assert said in page
    shares = report.summary.shares()["loss:cells"]
    assert shares["share"].sum() == pytest.approx(1)
    content = json.loads(json.dumps(report.content()))
    assert content["runs"] == len(points(scale))
    (prediction,) = content["predictions"]
    assert prediction["low"] <= prediction["loss"] <= prediction["high"]
    per_cell = trained["tokens_per_cell"].iloc[:9].mean()
    assert prediction["flops"] == pytest.approx(6 * 10_000 * 1000 * per_cell, rel=0.2)


def test_what_is_done_is_not_done_again(whole):
    scale, found, folder = whole
    lost = folder / points(scale)[3].name
    shutil.rmtree(lost)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob(RECORD)}
    again = sweep(scale, folder)
    after = {path: path.stat().st_mtime_ns for path in folder.rglob(RECORD)}
    assert {path: after[path] for path in before} == before
    assert (lost / RECORD) in after
    old, new = (
        [json.dumps({**record, "seconds": 0}) for record in records] for records in (found, again)
    )
    assert new == old
    with pytest.raises(UsageError, match="another sweep"):
        sweep(scale.model_copy(update={"epochs": 2.0}), folder)


def test_shares_of_a_sweep_make_the_whole(written, tmp_path):
    scale = load_scale(written(FEWEST))
    pool = Pool.open(scale)
    for number in range(2):
        sweep(scale, tmp_path / "shared", pool=pool, share=(number, 2))
    alone = sweep(scale, tmp_path / "alone", pool=pool)
    assert sorted(r["name"] for r in records(tmp_path / "shared")) == sorted(
        r["name"] for r in alone
    )
    name = points(scale)[0].name
    logs = [(tmp_path / folder / name / LOSS).read_bytes() for folder in ("shared", "alone")]
    assert logs[0] == logs[1]
    assert not sweep(scale, tmp_path / "none", pool=pool, minutes=0)


def test_a_failed_run_is_a_record_and_tried_again(written, tmp_path):
    scale = load_scale(written(FEWEST, cells=[8, 16, 9000]))
    found = sweep(scale, tmp_path / "out")
    failed = [record for record in found if record["error"]]
    assert {record["name"] for record in failed} == {
        f"{size}_9000-cells_seed-0" for size in scale.sizes
    }
    assert "9,000 cells are wanted" in failed[0]["error"]
    report = write_report(scale, found, tmp_path / "out")
    assert "two numbers" not in report.page
    assert report.summary.unfitted["cells"].startswith("A law needs three")


def test_nothing_trained_is_said(written):
    scale = load_scale(written(FEWEST))
    with pytest.raises(InputError, match="No run"):
        write_report(scale, [], "nowhere")


def test_subsets_are_nested_and_from_the_first_sources(written):
    pool = Pool.open(load_scale(written()))
    few, many = (rows_of(pool.subset(cells)) for cells in (8, 30))
    assert len(few) == 8
    assert few < many
    assert rows_of(pool.subset(8, seed=1)) != few
    tosti = rows_of(pool.subset(8, sources=1))
    assert tosti <= rows_of(pool.sources[0])
    everything = rows_of(pool.subset(len(pool)))
    assert len(everything) == len(pool)


def rows_of(pick):
    """Fingerprints of the cells of a pick."""
    parts = enumerate(pick.corpus.parts)
    return {int(h) for number, part in parts for h in part.hashes()[pick.of(number)]}


def test_the_estimate_counts_the_runs(written):
    scale = load_scale(written(FEWEST))
    planned = estimate(scale)
    assert planned.runs == 6
    sizes = list(planned.parameters.values())
    assert sizes == sorted(sizes)
    assert planned.flops > 6 * sizes[0] * planned.tokens
    assert planned.hours > 0
    assert np.isfinite(planned.hours)
    assert any("runs" in line for line in planned.lines())
