"""`pancyte scale` as a user meets it."""

import json

import pytest
import yaml

from pancyte.cli.main import run


@pytest.fixture
def call(capsys):
    def call(*arguments):
        with pytest.raises(SystemExit) as stop:
            run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return stop.value.code, captured.out, captured.err

    return call


@pytest.fixture
def sweep_file(tmp_path, cells_file):
    source, muraro = str(cells_file), {"study": ["Muraro 2016"]}
    sweep = {
        "name": "small",
        "base": {
            "train": [{"source": source, "without": muraro}],
            "held_out": [{"source": source, "keep": muraro}],
            "tokenizer": {"name": "continuous", "max_length": 24},
            "loop": {"tokens_per_step": 256},
        },
        "sizes": {"s": {"depth": 1, "width": 4, "heads": 1}},
        "cells": [6, 9000],
    }
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(sweep))
    return path


def test_plan_run_and_go_on(call, sweep_file, tmp_path):
    fits = yaml.safe_load(sweep_file.read_text()) | {"cells": [6, 12]}
    sweep_file.write_text(yaml.safe_dump(fits))
    status, said, _ = call("scale", sweep_file, "--dry-run", "--json")
    assert (status, json.loads(said)["runs"]) == (0, 2)
    out = tmp_path / "out"
    status, said, _ = call("scale", sweep_file, "-o", out, "--share", "1/2", "--json")
    assert (status, json.loads(said)["left"]) == (0, ["s_12-cells_seed-0"])
    status, said, _ = call("scale", sweep_file, "-o", out)
    assert status == 0
    assert "all runs are done" in said
    assert (out / "scaling.md").exists()


def test_a_failed_run_is_named_and_the_others_are_reported(call, sweep_file, tmp_path):
    status, said, told = call("scale", sweep_file, "-o", tmp_path / "out")
    assert status == 1
    assert "s_9000-cells_seed-0: InputError: 9,000 cells are wanted" in told
    assert "1 runs are left" in said


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["absent.yaml"], 4, "no sweep file"),
        (["{file}", "--share", "3/2"], 2, "'3/2' is no share"),
        (["{file}", "-o", "{file}"], 2, "is a file"),
    ],
)
def test_mistakes(call, sweep_file, arguments, status, said):
    given = [argument.format(file=sweep_file) for argument in arguments]
    code, _, told = call("scale", *given)
    assert (code, said in told) == (status, True)
