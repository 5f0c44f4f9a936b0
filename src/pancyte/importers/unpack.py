"""Unpack a pickle that nobody vouches for, in a process of its own, into what cannot run.

``python -m pancyte.importers.unpack FILE weights|names|dictionary TARGET`` writes TARGET and prints
one JSON object: what was left out, or the name of an error with what is wrong and how to fix it.
Weights become safetensors, dictionaries and the names of weights JSON.
"""

from __future__ import annotations

import json
import pickle
import re
import sys
import warnings
from pathlib import Path
from typing import Any

ALLOWED = {
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
    # how protocol 2 writes the bytes of a number
    ("_codecs", "encode"),
}
NESTED = ("model_state_dict", "state_dict", "model", "module")
SETTINGS = ("hyper_parameters", "config")
AGAIN = "Copy or download the file again."
DISTRUST = "Do not open it with anything else. Fetch the model from its authors again."


class ForbiddenError(Exception):
    """A pickle names something that has no place in a dictionary of numbers."""


class NumbersOnly(pickle.Unpickler):
    """Reads dictionaries of text and numbers; anything else that a pickle asks for is refused."""

    def find_class(self, module: str, name: str) -> Any:
        """Return one of the few things a number is made of.

        Raises
        ------
        ForbiddenError
            For anything else, before it is imported.
        """
        if (module, name) not in ALLOWED:
            raise ForbiddenError(f"{module}.{name}")
        return super().find_class(module, name)


def dictionary(source: Path, target: Path) -> dict[str, Any]:
    """Write a pickled dictionary of text to text or numbers as JSON."""
    with source.open("rb") as handle:
        found = NumbersOnly(handle).load()
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise ValueError("it holds no dictionary of names")
    plain = {key: value.item() if hasattr(value, "item") else value for key, value in found.items()}
    if not all(isinstance(value, str | int | float) for value in plain.values()):
        raise ValueError("its values are neither text nor numbers")
    target.write_text(json.dumps(plain), encoding="utf-8")
    return {"left_out": []}


def weights(source: Path, target: Path) -> dict[str, Any]:
    """Write the tensors of a PyTorch checkpoint as safetensors, each with memory of its own."""
    import torch
    from safetensors.torch import save_file

    with torch.serialization.safe_globals(_numbers()):
        found = torch.load(source, map_location="cpu", weights_only=True)
    if not isinstance(found, dict):
        raise ValueError("it holds no dictionary of weights")
    several = {name: part for name, part in found.items() if _nested(part)}
    if several and not _nested(found):
        tensors = {
            f"{name}.{key}": value
            for name, part in several.items()
            for key, value in _tensors(_inner(part)).items()
        }
        settings = {str(name): _settings(part) for name, part in several.items()}
        left_out = sorted(str(name) for name in found if name not in several)
    else:
        inner = _inner(found)
        tensors, settings = _tensors(inner), _settings(found)
        left_out = sorted(str(name) for name in inner if str(name) not in tensors)
    if not tensors:
        raise ValueError("it holds no weights")
    save_file(tensors, target)
    return {"left_out": left_out, "settings": settings}


def names(source: Path, target: Path) -> dict[str, Any]:
    """Write the names of the vectors in a PyTorch or HDF5 file as JSON, in their order."""
    if source.suffix in (".h5", ".hdf5"):
        import h5py

        with h5py.File(source, "r") as content:
            found = list(content["keys"].asstr()[:])
    else:
        import torch

        found = list(torch.load(source, map_location="cpu", weights_only=True, mmap=True))
    if not all(isinstance(name, str) for name in found):
        raise ValueError("it holds no names")
    target.write_text(json.dumps(found), "utf-8")
    return {"left_out": []}


def _nested(found: Any) -> bool:
    return isinstance(found, dict) and any(isinstance(found.get(name), dict) for name in NESTED)


def _inner(found: dict[Any, Any]) -> dict[Any, Any]:
    for name in NESTED:
        if isinstance(found.get(name), dict):
            found = found[name]
    return found


def _tensors(found: dict[Any, Any]) -> dict[str, Any]:
    import torch

    return {
        str(name): value.detach().contiguous().clone()
        for name, value in found.items()
        if isinstance(value, torch.Tensor)
    }


def _settings(found: dict[Any, Any]) -> dict[str, Any]:
    """Keep what a checkpoint says of its network, as far as it is text and numbers."""
    told: dict[str, Any] = {}
    for name in SETTINGS:
        if isinstance(found.get(name), dict):
            told |= _plain(found[name])
    return told


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    value = value.item() if type(value).__module__ == "numpy" else value
    return (
        value if value is None or isinstance(value, str | bool | int | float) else str(type(value))
    )


def _numbers() -> list[Any]:
    """List what a number of numpy's is made of in a pickle; a scheduler's state holds such."""
    import codecs

    import numpy as np

    scalar: Any = np.float64(0).__reduce__()[0]
    kinds = {type(np.dtype(letter)) for letter in "?bhilqBHILQefd"}
    places = [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    return [*places, np.dtype, *kinds, (codecs.encode, "_codecs.encode")]


def report(source: Path, kind: str, target: Path) -> dict[str, Any]:
    """Unpack `source` and return what was left out, errors included, as plain fields."""
    try:
        return {"weights": weights, "names": names, "dictionary": dictionary}[kind](source, target)
    except ForbiddenError as error:
        return _refused(source, str(error))
    except MemoryError:
        return _failure("ResourceError", f"{source} does not fit in memory.", "Use more memory.")
    except (ImportError, NameError):
        # a broken installation, or a mistake of ours, is not the file's fault
        raise
    except Exception as error:
        # whatever else a library says about bytes nobody vouches for
        # PyTorch's own message goes on to advise loading it without this protection
        if "Weights only load failed" in str(error):
            asked = re.search(
                r"(?i:unsupported (?:global: )?(?:global|class)) ([\w.]+)", str(error)
            )
            what = f"{source} is damaged, or holds something other than weights."
            return _refused(source, asked[1]) if asked else _failure("IntegrityError", what, AGAIN)
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        what = f"{source} cannot be unpacked: {reason.rstrip('.')}."
        return _failure("IntegrityError", what, AGAIN)


def _refused(source: Path, asked: str) -> dict[str, Any]:
    what = f"{source} was refused: it asks to run {asked}, which is no part of any weights."
    return _failure("IntegrityError", what, DISTRUST)


def _failure(name: str, what: str, fix: str) -> dict[str, Any]:
    return {"error": name, "what": what, "fix": fix}


if __name__ == "__main__":
    from pancyte.corpus.probe import cap_memory

    warnings.simplefilter("ignore")
    cap_memory()
    print(json.dumps(report(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))))
