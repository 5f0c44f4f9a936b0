"""A writer that dies leaves the old content or the new, and nothing else after the next write."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from pancyte import files

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
