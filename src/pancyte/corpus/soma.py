"""SOMA experiments on disk (TileDB-SOMA), through its own library."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pancyte.corpus.anndata_store import RNA
from pancyte.corpus.budget import require_memory
from pancyte.corpus.formats import Checked
from pancyte.errors import InputError, MissingError

if TYPE_CHECKING:
    from anndata import AnnData

ISOLATED = True
LAYERS = ("counts", "raw", "data")


def recognises(path: Path, head: bytes) -> bool:
    """Look for TileDB's marks of a group."""
    return (path / "__tiledb_group.tdb").is_file() or (path / "__group").is_dir()


def check(path: Path) -> Checked:
    """Find the measurement of RNA and its layer of counts, and read it once.

    Raises
    ------
    MissingError
        If tiledbsoma is not installed.
    InputError
        If the store is no experiment, or no measurement is called RNA and there are several.
    ResourceError
        If its counts do not fit in memory.
    """
    soma = _library(path)
    with soma.open(str(path)) as experiment:
        if experiment.soma_type != "SOMAExperiment":
            raise InputError(
                f"{path} is a {experiment.soma_type}, not a SOMA experiment.",
                fix="Give the folder of the experiment.",
            )
        names = list(experiment.ms)
        found = names if len(names) == 1 else [name for name in names if name.lower() in RNA]
        if len(found) != 1:
            raise InputError(
                f"{path} has {len(names)} measurements ({', '.join(names)}), and "
                f"{len(found) or 'none'} named RNA.",
                fix="Write the one to read: tiledbsoma.io.to_h5ad(experiment, …).",
            )
        matrices = experiment.ms[found[0]].X
        layer = next((name for name in LAYERS if name in matrices), next(iter(matrices)))
        require_memory(path, 24 * matrices[layer].nnz, fix="Query part of it with tiledbsoma.")
        _read(soma, experiment, found[0], layer)
    others = [name for name in names if name not in found]
    told = f"Took the measurement {found[0]}; left out {', '.join(others)}."
    return Checked("soma", f"{found[0]}/{layer}", (told,) if others else ())


def read(path: Path, checked: Checked) -> AnnData:
    """Read what `check` chose."""
    soma = _library(path)
    measurement, layer = checked.part.rsplit("/", 1)
    with soma.open(str(path)) as experiment:
        return _read(soma, experiment, measurement, layer)


def _read(soma: Any, experiment: Any, measurement: str, layer: str) -> AnnData:
    return soma.io.to_anndata(experiment, measurement, X_layer_name=layer)


def _library(path: Path) -> Any:
    try:
        import tiledbsoma
        import tiledbsoma.io
    except ImportError:
        raise MissingError(
            f"{path} is a TileDB-SOMA store, which needs tiledbsoma.",
            fix="pip install 'pancyte[soma]'",
        ) from None
    return tiledbsoma
