"""A writer that dies leaves the old content or the new, and nothing else after the next write."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import anndata as ad
import pytest
import torch

from pancyte import files
from pancyte.corpus.write import write_h5ad
from pancyte.models.card import Card
from pancyte.models.model import Model
from pancyte.tokenizers.continuous import ContinuousTokenizer

WRITER = """
import sys
from pathlib import Path
from pancyte import files
target, folder = Path(sys.argv[1]), sys.argv[2] == "folder"
number = 0
while True:
    number += 1
    text = str(number) * 200_000
    if not folder:
        files.write_text(target, text)
        continue
    with files.atomic_path(target) as partial:
        partial.mkdir()
        (partial / "one").write_text(text)
        (partial / "two").write_text(text)
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_killed_writers_leave_old_or_new(tmp_path, kind):
    target = tmp_path / "target"
    moments = random.Random(0)
    for _ in range(8):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(target), kind])
        while not target.exists():
            time.sleep(0.002)
        time.sleep(moments.uniform(0.05, 0.25))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        parts = [target] if kind == "file" else sorted(target.iterdir())
        contents = {part.read_text() for part in parts}
        assert len(contents) == 1
        (content,) = contents
        assert content == content[: len(content) // 200_000] * 200_000
    files.write_text(target, "last") if kind == "file" else files.sweep_partial(target)
    assert os.listdir(tmp_path) == ["target"]


KILLS = 50
Write = Callable[[Path, int], None]
"""Writes content that shows a number."""
Number = Callable[[Path], set[int]]
"""Reads every number that is shown: one, unless two writes were mixed."""


def _h5ad(cells) -> tuple[Write, Number]:
    adata = ad.AnnData(cells.counts, obs=cells.obs, var=cells.features)

    def write(path: Path, number: int) -> None:
        adata.obs["number"] = number
        adata.layers["numbers"] = (adata.X != 0).astype("int32") * number
        write_h5ad(adata, path)

    def read(path: Path) -> set[int]:
        found = ad.read_h5ad(path)
        assert (found.X != adata.X).nnz == 0
        return {*found.obs["number"], *found.layers["numbers"].data}

    return write, read


def _model(cells) -> tuple[Write, Number]:
    model = Model.create(
        ContinuousTokenizer().fit(cells),
        backbone={"name": "transformer", "config": {"depth": 1, "width": 16}},
        objective={"name": "masked_value"},
        card=Card("0"),
    )

    def write(path: Path, number: int) -> None:
        model.card = Card(str(number))
        for weight in model.backbone.parameters():
            # by numpy: OpenMP does not survive a fork
            weight.detach().numpy().fill(number)
        model.save_pretrained(path)

    def read(path: Path) -> set[int]:
        found = Model.from_pretrained(path)
        weights = torch.cat([weight.flatten() for weight in found.backbone.parameters()])
        return {int(found.name), *map(int, weights.unique())}

    return write, read


def _table(cells) -> tuple[Write, Number]:
    def write(path: Path, number: int) -> None:
        files.write_text(path, cells.features.assign(number=number).to_csv(columns=["number"]))

    def read(path: Path) -> set[int]:
        lines = path.read_text().splitlines()
        assert len(lines) == len(cells.features) + 1
        return {int(line.rsplit(",")[-1]) for line in lines[1:]}

    return write, read


def _folder(cells) -> tuple[Write, Number]:
    def write(path: Path, number: int) -> None:
        with files.atomic_path(path) as partial:
            partial.mkdir()
            for name in ("one", "two", "three"):
                (partial / name).write_text(json.dumps([number] * 50_000))

    def read(path: Path) -> set[int]:
        assert sorted(os.listdir(path)) == ["one", "three", "two"]
        return {number for file in path.iterdir() for number in json.loads(file.read_text())}

    return write, read


@pytest.mark.slow
@pytest.mark.parametrize("writer", [_h5ad, _model, _table, _folder], ids=lambda made: made.__name__)
def test_fifty_kills_of_every_writer_leave_old_or_new(tmp_path, cells, writer):
    write, read = writer(cells)
    target = tmp_path / "target"
    write(target, 0)
    moments, seen = random.Random(1), {0}
    for _ in range(KILLS):
        (last,) = read(target)
        child = os.fork()
        if not child:
            for number in range(last + 1, sys.maxsize):
                write(target, number)
        time.sleep(moments.uniform(0.001, 0.2))
        os.kill(child, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        (found,) = read(target)
        assert found >= last
        seen.add(found)
    assert len(seen) > KILLS / 2
    write(target, 0)
    assert read(target) == {0}
    assert os.listdir(tmp_path) == ["target"]


def test_failure_keeps_the_old_file_and_no_trace(tmp_path):
    target = tmp_path / "target"
    target.write_text("old")

    def fail():
        with files.atomic_path(target) as partial:
            partial.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["target"]


def test_a_living_writers_file_is_not_swept(tmp_path):
    mine = tmp_path / f".target.{os.getpid()}-abc.partial"
    mine.write_text("in use")
    files.sweep_partial(tmp_path / "target")
    assert mine.exists()


def test_sha256_of_known_content(tmp_path):
    (tmp_path / "abc").write_text("abc")
    assert files.sha256(tmp_path / "abc").startswith("ba7816bf8f01cfea")
