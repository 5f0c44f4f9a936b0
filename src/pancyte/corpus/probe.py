"""Look into a file before it is trusted, in a process whose crash harms nobody.

``python -m pancyte.corpus.probe FILE [--streamed]`` prints one JSON object: what the format's
`check` found, or the name of an error with what is wrong and how to fix it.
"""

from __future__ import annotations

import json
import sys
import warnings
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pancyte.corpus import hdf5
from pancyte.corpus.budget import machine_memory
from pancyte.corpus.formats import format_of
from pancyte.corpus.structure import ContradictionError
from pancyte.errors import PancyteError

AGAIN = "Copy or download the file again."


def report(path: Path, *, streamed: bool = False) -> dict[str, Any]:
    """Return what `check` found, errors included, as plain fields; only HDF5 is streamed."""
    try:
        form = format_of(path)
        return asdict(hdf5.check(path, streamed=True) if streamed else form.check(path))
    except PancyteError as error:
        return _failure(type(error).__name__, error.what, error.fix)
    except ContradictionError as found:
        again = "Copy or download the file again, or write it anew from its source."
        return _failure("IntegrityError", f"{path} is damaged: {found}.", again)
    except MemoryError:
        return _failure("ResourceError", f"{path} does not fit in memory.", "Use more memory.")
    except (ImportError, NameError):
        # a broken installation, or a mistake of ours, is not the file's fault
        raise
    except Exception as error:
        # whatever else a library says about bytes nobody vouches for
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return _failure("IntegrityError", f"{path} is damaged: {reason.rstrip('.')}.", AGAIN)


def _failure(name: str, what: str, fix: str) -> dict[str, Any]:
    return {"error": name, "what": what, "fix": fix}


def cap_memory() -> None:
    """Let a file that unpacks without end fail in here, rather than push others out of memory."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        memory = machine_memory()
        if memory:
            resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    cap_memory()
    print(json.dumps(report(Path(sys.argv[1]), streamed="--streamed" in sys.argv[2:])))
