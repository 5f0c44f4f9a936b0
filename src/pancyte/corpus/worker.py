"""Have another process look through a file first, so that its crash is only a message here."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from pancyte import errors
from pancyte.corpus.formats import Checked

# Starting takes a second or two; after that even a table of 20,000 columns in Parquet, which packs
# zeros away and is slow to unpack, gives 1 MB a second
PATIENCE = 6
SLOWEST = 1e6
# a busy machine, or a disk that is slow to answer, makes a second of work last so much longer
BUSY = 10
STREAMED = "--streamed"
AGAIN = "Copy or download the file again."
# by SIGKILL, which is how Linux takes back memory; by SIGXCPU, which is how it ends work in vain
KILLED = -9
SPENT = -24


def checked_apart(path: Path, *, streamed: bool = False) -> Checked:
    """Have another process run the `check` of a file's format.

    Parameters
    ----------
    path
        The file or folder.
    streamed
        It is HDF5 whose cells will be read some at a time, so it may be larger than memory.

    Raises
    ------
    PancyteError
        What the other process found wrong, or that it crashed, hung or ran out of memory.
    """
    flags = [STREAMED] if streamed else []
    patience = PATIENCE + _size(path) / SLOWEST
    report = apart("pancyte.corpus.probe", path, flags, patience=patience)
    return Checked(report["kind"], report["part"], tuple(report["notices"]))


def apart(module: str, path: Path, arguments: list[str], *, patience: float) -> dict[str, Any]:
    """Run ``python -m MODULE PATH ARGUMENTS`` and return the JSON object that it prints.

    Parameters
    ----------
    module
        A module that prints what it found, or ``error``, ``what`` and ``fix``.
    path
        The file nobody vouches for.
    arguments
        What else the module is told.
    patience
        Seconds of work after which it is given up; ten times that if it only waits.

    Raises
    ------
    PancyteError
        What the other process found wrong, or that it crashed, hung or ran out of memory.
    """
    command = [sys.executable, "-P", "-m", module, str(path), *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as worker:
        _cap_work(worker.pid, patience)
        try:
            said, complained = worker.communicate(timeout=BUSY * patience)
        except subprocess.TimeoutExpired:
            worker.kill()
            raise _hangs(path, BUSY * patience) from None
    status = worker.returncode
    if status == SPENT:
        raise _hangs(path, patience)
    if status == KILLED:
        raise errors.ResourceError(
            f"{path} needs more memory than this machine has free.",
            fix="Use more memory, or a smaller file.",
        )
    # killed by a signal, which Windows reports as a status above 255
    if not 0 <= status < 256:
        raise errors.IntegrityError(
            f"{path} is damaged: reading it crashes the library (status {status}).",
            fix=AGAIN,
        )
    if status:
        lines = complained.decode(errors="replace").strip().splitlines() or ["?"]
        raise errors.PancyteError(f"{path} could not be checked: {lines[-1]}.")
    report: dict[str, Any] = json.loads(said)
    if "error" in report:
        raise getattr(errors, report["error"])(report["what"], fix=report["fix"])
    return report


def _cap_work(worker: int, seconds: float) -> None:
    """Have the system end a process after so many seconds of work, where it can (Linux)."""
    with suppress(ImportError, AttributeError, OSError):
        import resource

        limit = math.ceil(seconds)
        resource.prlimit(worker, resource.RLIMIT_CPU, (limit, limit + 1))


def _hangs(path: Path, seconds: float) -> errors.IntegrityError:
    return errors.IntegrityError(
        f"{path} could not be read within {seconds:.0f} s: it is damaged, or its disk does not "
        "answer.",
        fix=AGAIN,
    )


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
