"""Have another process look through a file first, so that its crash is only a message here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from pancyte import errors
from pancyte.corpus.formats import Checked

# Starting takes a second or two; after that even a table of 20,000 columns in Parquet, which packs
# zeros away and is slow to unpack, gives 1 MB a second on a busy machine
PATIENCE = 6
SLOWEST = 1e6
STREAMED = "--streamed"
AGAIN = "Copy or download the file again."
# by SIGKILL, which is how Linux takes back memory
KILLED = -9


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
        Seconds after which it is given up.

    Raises
    ------
    PancyteError
        What the other process found wrong, or that it crashed, hung or ran out of memory.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", module, str(path), *arguments],
            capture_output=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            timeout=patience,
        )
    except subprocess.TimeoutExpired as error:
        raise errors.IntegrityError(
            f"{path} could not be read within {error.timeout:.0f} s: it is damaged, or its disk "
            "does not answer.",
            fix=AGAIN,
        ) from None
    if done.returncode == KILLED:
        raise errors.ResourceError(
            f"{path} needs more memory than this machine has free.",
            fix="Use more memory, or a smaller file.",
        )
    # killed by a signal, which Windows reports as a status above 255
    if not 0 <= done.returncode < 256:
        raise errors.IntegrityError(
            f"{path} is damaged: reading it crashes the library (status {done.returncode}).",
            fix=AGAIN,
        )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise errors.PancyteError(f"{path} could not be checked: {said[-1] if said else '?'}.")
    report = json.loads(done.stdout)
    if "error" in report:
        raise getattr(errors, report["error"])(report["what"], fix=report["fix"])
    return report


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
