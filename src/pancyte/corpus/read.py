"""Any file of single cells in, an AnnData out, with one line on what was found."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pancyte import errors
from pancyte.corpus.anndata_store import read_errors, read_whole
from pancyte.corpus.checks import batch_columns, inspect, require_cells, require_upright
from pancyte.corpus.counts import locate, matrix_at
from pancyte.corpus.formats import format_of
from pancyte.corpus.genome import of_genome
from pancyte.corpus.notices import tell
from pancyte.corpus.orientation import EITHER, genes_are_rows, transposed
from pancyte.corpus.worker import checked_apart

if TYPE_CHECKING:
    from anndata import AnnData

GENES = "Gene Expression"


def read(
    path: str | Path, *, transpose: bool = False, genome: str | None = None, quiet: bool = False
) -> AnnData:
    """Read single-cell data of any common format, and say what it is.

    What a file is, is told by its content. Where a library follows the file's own pointers (HDF5,
    zarr, Parquet, R, SOMA), a process of its own looks through it first, so that a damaged file
    becomes an error message rather than a crash or wrong data.

    Parameters
    ----------
    path
        An h5ad or h5mu; a zarr store of an AnnData, MuData or SpatialData, also zipped; a 10x h5;
        a folder with a Matrix Market file and tables of genes and cells, or that file; a table of
        counts as csv, tsv or txt, also gzipped, or as Parquet; loom; an RDS file with a Seurat
        object or a matrix (``pancyte[rds]``); a SOMA experiment (``pancyte[soma]``).
    transpose
        The file has genes as rows. Tables whose names show it are transposed without this.
    genome
        Of a run on several reference genomes, keep the genes of this one, e.g. ``"GRCh38"``;
        its prefix is stripped from their names.
    quiet
        Do not print what was found.

    Returns
    -------
    AnnData, cells × genes. Raw counts are in X if X holds counts, and otherwise in
    ``.layers["counts"]``. If they were in ``raw`` over other genes than X's, the AnnData is that
    of raw: its genes, its counts in X. `pancyte.corpus.checks.counts_of` returns them as CSR
    wherever they are, and says why if there are none, which is not an error here.

    Raises
    ------
    InputError
        If it is not such a file, has no cells or genes, is transposed, or holds several things
        that could be meant.
    MissingError
        If its format needs a package that is not installed.
    IntegrityError
        If it is damaged.
    ResourceError
        If it does not fit in memory.
    """
    adata, notices = settled(Path(path), transpose=transpose, genome=genome)
    if not quiet:
        found = inspect(adata)
        tell(found.line(), *notices, *found.notices)
    return adata


def settled(
    path: Path, *, transpose: bool = False, genome: str | None = None
) -> tuple[AnnData, list[str]]:
    """Read a file as `read` does, and return what was done to it rather than print it."""
    with _repeated_names():
        adata, notices = _upright(path, transpose, genome)
        require_upright(adata)
        adata, done = _settle(adata)
        if genome is not None:
            adata, kept = of_genome(adata, genome)
            done.append(kept)
    return adata, notices + done


def _upright(path: Path, transpose: bool, genome: str | None) -> tuple[AnnData, list[str]]:
    """Read a file with cells as rows, and say what was done for that."""
    require_readable(path)
    form = format_of(path)
    checked = checked_apart(path) if form.ISOLATED else form.check(path)
    if genome is not None and checked.kind == "10x v2":
        checked = replace(checked, part=genome)
    notices = list(checked.notices)
    adata = form.read(path, checked)
    require_cells(adata)
    if not transpose and checked.kind in EITHER and genes_are_rows(path, adata):
        transpose = True
        notices.append("The table had genes as rows and was transposed.")
    return transposed(adata) if transpose else adata, notices


def require_readable(path: Path) -> None:
    """Refuse a path that is not there, or not ours to read."""
    if not path.exists():
        near = sorted(file.name for file in path.parent.glob("*.h5*"))[:3]
        raise errors.InputError(
            f"There is no file {path}.", fix=f"Nearby: {', '.join(near)}." if near else ""
        )
    if not os.access(path, os.R_OK):
        raise errors.InputError(f"{path} may not be read by you.", fix="Change its permissions.")


def probed(path: Path, *, streamed: bool = False) -> str:
    """Have a file checked by another process without reading it, and return its kind.

    Parameters
    ----------
    path
        The file.
    streamed
        It is HDF5 whose cells will be read some at a time, so it may be larger than memory.

    Raises
    ------
    PancyteError
        What is wrong with it.
    """
    return checked_apart(path, streamed=streamed).kind


def load_h5ad(path: Path) -> AnnData:
    """Read an h5ad whose content is already known to be sound."""
    with _repeated_names(), read_errors(path):
        return read_whole(path)


@contextmanager
def _repeated_names() -> Iterator[None]:
    """Silence AnnData on names that occur twice: cells are renamed below, genes summed later."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*names are not unique")
        yield


def _settle(adata: AnnData) -> tuple[AnnData, list[str]]:
    """Put counts where people look for them, and make cell names unique."""
    notices = []
    if left_out := _other_features(adata):
        adata = adata[:, (adata.var["feature_types"] == GENES).to_numpy()].copy()
        notices.append(f"Kept {adata.n_vars:,} genes; left out {left_out} features.")
    found = locate(adata)
    if found.place == "raw" and not adata.raw.var_names.equals(adata.var_names):
        notices.append(
            f"X, {adata.n_vars:,} genes, was replaced by the counts in raw, "
            f"{adata.raw.n_vars:,} genes."
        )
        adata = _from_raw(adata)
    elif found.place not in (None, "X") and "counts" not in adata.layers:
        adata.layers["counts"] = matrix_at(adata, found.place)
        notices.append(f"The counts were in {found.place}.")
    if not adata.obs_names.is_unique:
        notices.append(_rename_cells(adata))
    return adata, notices


def _other_features(adata: AnnData) -> str:
    """Say how many proteins, peaks … stand beside the genes; ``""`` if there are only genes."""
    if "feature_types" not in adata.var:
        return ""
    kinds = adata.var["feature_types"].astype(str).value_counts()
    if GENES not in kinds:
        return ""
    return ", ".join(f"{number:,} {kind}" for kind, number in kinds.drop(GENES).items())


def _from_raw(adata: AnnData) -> AnnData:
    from anndata import AnnData

    return AnnData(
        adata.raw.X,
        obs=adata.obs,
        var=adata.raw.var,
        obsm=dict(adata.obsm),
        obsp=dict(adata.obsp),
        uns=dict(adata.uns),
    )


def _rename_cells(adata: AnnData) -> str:
    """Make cell names unique by the batch, if that suffices, or by numbering repeats."""
    names = adata.obs_names.astype(str)
    adata.obs["cell_name"] = names.to_numpy()
    repeated = int(names.duplicated().sum())
    for column in batch_columns(adata.obs):
        prefixed = adata.obs[column].astype(str).to_numpy() + "_" + names
        if prefixed.is_unique:
            adata.obs_names = prefixed
            return f"{repeated:,} cell names occurred again; all are now prefixed by {column}."
    adata.obs_names_make_unique()
    return f"{repeated:,} cell names occurred again; repeats are now numbered."
