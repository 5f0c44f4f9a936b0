"""R's RDS and RData files: a Seurat object (versions 3 to 5) or a matrix, without R.

The slots of Seurat's classes are those of the SeuratObject package, those of sparse matrices of
the Matrix package.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix, csc_matrix, csr_matrix

from pancyte.corpus import robjects as r
from pancyte.corpus.formats import Checked
from pancyte.errors import InputError, IntegrityError, MissingError

if TYPE_CHECKING:
    from anndata import AnnData

ISOLATED = True
_RDATA = (b"RDX2\n", b"RDX3\n", b"RDA2\n", b"RDA3\n", b"RDB2\n", b"RDB3\n")
_RDS = (b"X\n\0\0\0\2", b"X\n\0\0\0\3", b"A\n2\n", b"A\n3\n", b"B\n\2\0\0\0", b"B\n\3\0\0\0")


class _Matrix(NamedTuple):
    """Genes × cells as R holds them, with the names it has for both."""

    values: csc_matrix
    genes: list[str]
    cells: list[str]


def recognises(path: Path, head: bytes) -> bool:
    """Look for R's signatures, once unpacked."""
    return head.startswith((*_RDATA, *_RDS))


def check(path: Path) -> Checked:
    """Read a file once.

    Raises
    ------
    MissingError
        If rdata is not installed.
    InputError
        If it holds neither a Seurat object nor a matrix, or several objects.
    IntegrityError
        If its matrix contradicts itself.
    """
    return _load(path)[1]


def read(path: Path, checked: Checked) -> AnnData:
    """Read a file that `check` found sound."""
    return _load(path)[0]


def _load(path: Path) -> tuple[AnnData, Checked]:
    root = _object(path)
    kinds = r.classes(root)
    if "Seurat" in kinds:
        return _seurat(path, root)
    found = _matrix(path, root)
    if found is None:
        what = " ".join(kinds) or "no class"
        raise InputError(
            f"{path} holds an R object of {what}, neither a Seurat object nor a matrix.",
            fix="Write it as h5ad in R: zellkonverter::writeH5AD(…).",
        )
    from anndata import AnnData

    # as it stands, rows by columns: which of them are genes is told from the names
    obs, var = (pd.DataFrame(index=pd.Index(names, dtype=object)) for names in found[1:])
    return AnnData(csr_matrix(found.values), obs=obs, var=var), Checked("r matrix")


def _object(path: Path) -> Any:
    """Parse a file; of an RData file, take the only object in it."""
    try:
        from rdata.parser import parse_file
    except ImportError:
        raise MissingError(
            f"{path} is a file of R, which needs rdata.", fix="pip install 'pancyte[rds]'"
        ) from None
    with warnings.catch_warnings():
        # it doubts endings other than .rds and .rda
        warnings.simplefilter("ignore", UserWarning)
        root = parse_file(path).object
    objects = r.pairs(root)
    if not objects:
        return root
    if len(objects) > 1:
        raise InputError(
            f"{path} holds {len(objects)} objects: {', '.join(objects)}.",
            fix=f"Save one alone, in R: saveRDS({next(iter(objects))}, 'one.rds').",
        )
    return next(iter(objects.values()))


def _seurat(path: Path, root: Any) -> tuple[AnnData, Checked]:
    from anndata import AnnData

    slots = r.slots(root)
    assays = r.named(slots["assays"])
    name = "RNA" if "RNA" in assays else r.strings(slots["active.assay"])[0]
    counts = _assay(path, assays[name])
    obs = r.data_frame(slots["meta.data"]).reindex(counts.cells)
    adata = AnnData(
        csr_matrix(counts.values.T),
        obs=obs,
        var=pd.DataFrame(index=pd.Index(counts.genes, dtype=object)),
    )
    for key, reduction in r.named(slots.get("reductions")).items():
        embedding = r.slots(reduction).get("cell.embeddings")
        values = r.dense(embedding) if embedding is not None else None
        if values is not None and len(values) == adata.n_obs:
            adata.obsm[f"X_{key}"] = values
    others = [other for other in assays if other != name]
    told = f"Took the assay {name}; left out {', '.join(others)}."
    return adata, Checked("seurat", name, (told,) if others else ())


def _assay(path: Path, assay: Any) -> _Matrix:
    """Take the counts of an assay, or its data if it has none."""
    slots = r.slots(assay)
    if "layers" in slots:
        return _layers(path, slots)
    for slot in ("counts", "data"):
        found = _matrix(path, slots[slot]) if slot in slots else None
        if found is not None and found.values.nnz:
            return found
    raise InputError(f"{path} has an assay without counts or data.", fix="Save it with its counts.")


def _layers(path: Path, slots: dict[str, Any]) -> _Matrix:
    """Put together the layers of an Assay5: ``counts``, or ``counts.1``, ``counts.2`` … if split.

    Which genes and cells a layer has is in two logical matrices, names × layers.
    """
    layers = r.named(slots["layers"])
    chosen = [name for name in layers if name.split(".")[0] == "counts"] or list(layers)[:1]
    genes, cells = (r.log_map(slots[axis]) for axis in ("features", "cells"))
    shape = (len(genes), len(cells))
    total = csc_matrix(shape)
    for name in chosen:
        found = _matrix(path, layers[name])
        if found is None or name not in genes or name not in cells:
            raise InputError(
                f"{path} has a layer {name!r} of {' '.join(r.classes(layers[name])) or 'no class'},"
                " whose values are not in the file.",
                fix="In R, bring it into memory first: as(layer, 'dgCMatrix').",
            )
        places = [np.flatnonzero(table[name].to_numpy()) for table in (genes, cells)]
        if found.values.shape != tuple(map(len, places)):
            raise _damaged(path, f"layer {name!r} is {found.values.shape}, not as its names say")
        part = coo_matrix(found.values)
        spread = (part.data, (places[0][part.row], places[1][part.col]))
        total = total + csc_matrix(spread, shape=shape)
    return _Matrix(total, list(genes.index), list(cells.index))


def _matrix(path: Path, item: Any) -> _Matrix | None:
    """Read a dgCMatrix, dgRMatrix or dgTMatrix, or a plain matrix; None for anything else."""
    kinds = r.classes(item)
    slots = r.slots(item)
    if "Dim" not in slots:
        full = r.dense(item)
        if full is None:
            return None
        return _Matrix(csc_matrix(full), *_dimnames(slots.get("dimnames"), full.shape))
    shape = (int(slots["Dim"].value[0]), int(slots["Dim"].value[1]))
    if not kinds or kinds[0][1:] not in ("gCMatrix", "gRMatrix", "gTMatrix") or "x" not in slots:
        return None
    data = np.asarray(slots["x"].value)
    parts = {name: np.asarray(slots[name].value) for name in "ijp" if name in slots}
    if kinds[0][2] == "T":
        values = csc_matrix(coo_matrix((data, (parts["i"], parts["j"])), shape=shape))
    else:
        by_column = kinds[0][2] == "C"
        major, minor = (shape[1], shape[0]) if by_column else shape
        indices = parts["i" if by_column else "j"]
        _check_packed(path, data, indices, parts["p"], (major, minor))
        packed = (csc_matrix if by_column else csr_matrix)((data, indices, parts["p"]), shape=shape)
        values = csc_matrix(packed)
    return _Matrix(values, *_dimnames(slots.get("Dimnames"), shape))


def _check_packed(
    path: Path, data: np.ndarray, indices: np.ndarray, pointers: np.ndarray, shape: tuple[int, int]
) -> None:
    major, minor = shape
    if len(pointers) != major + 1 or pointers[0] != 0 or (np.diff(pointers) < 0).any():
        raise _damaged(path, f"the pointers of a matrix of {major:,} do not fit")
    if not len(data) == len(indices) == pointers[-1]:
        raise _damaged(path, f"a matrix has {len(data):,} values but {len(indices):,} indices")
    if len(indices) and (indices.min() < 0 or indices.max() >= minor):
        raise _damaged(path, f"a matrix points outside 0 … {minor - 1:,}")


def _damaged(path: Path, why: str) -> IntegrityError:
    return IntegrityError(f"{path} is damaged: {why}.", fix="Copy or download the file again.")


def _dimnames(item: Any, shape: tuple[int, ...]) -> tuple[list[str], list[str]]:
    """Return row and column names, numbered where there are none."""
    both = list(r.value_of(item) or []) if item is not None else []
    found = [r.strings(names) for names in both] or [[], []]
    rows, columns = (
        names if len(names) == number else [str(place) for place in range(number)]
        for names, number in zip(found, shape, strict=True)
    )
    return rows, columns
