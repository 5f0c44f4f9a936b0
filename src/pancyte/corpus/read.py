"""Any file of single cells in, an AnnData out, with one line on what was found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pancyte import errors
from pancyte.corpus import tenx, zarr
from pancyte.corpus.checks import batch_columns, inspect, require_cells, require_upright
from pancyte.corpus.counts import locate, matrix_at
from pancyte.corpus.delimited import genes_are_rows, likely_originals, read_table
from pancyte.corpus.kinds import kind_of
from pancyte.corpus.notices import tell
from pancyte.corpus.parquet import read_parquet

if TYPE_CHECKING:
    from anndata import AnnData

GENES = "Gene Expression"
# Opening takes half a second; after that even a slow disk gives 20 MB a second
PATIENCE = 9
SLOWEST = 20e6


def read(path: str | Path, *, transpose: bool = False, quiet: bool = False) -> AnnData:
    """Read single-cell data of any common format, and say what it is.

    What a file is, is told by its content. HDF5 and zarr are first looked through by a process of
    their own, so that a damaged file becomes
    an error message rather than a crash or wrong data.

    Parameters
    ----------
    path
        An h5ad; a zarr store of an AnnData, also zipped; a 10x h5 (Cell Ranger 2 or 3); a folder
        with matrix.mtx, features.tsv or genes.tsv, and barcodes.tsv, or that matrix.mtx; a table
        of counts as csv, tsv or txt, also gzipped, or as Parquet.
    transpose
        The file has genes as rows. Tables whose names show it are transposed without this.
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
        If it is not such a file, has no cells or genes, or is transposed.
    IntegrityError
        If it is damaged.
    ResourceError
        If it does not fit in memory.
    """
    path = Path(path)
    adata, notices = _upright(path, transpose)
    require_upright(adata)
    adata, settled = _settle(adata)
    notices += settled
    if not quiet:
        found = inspect(adata)
        tell(found.line(), *notices, *found.notices)
    return adata


def _upright(path: Path, transpose: bool) -> tuple[AnnData, list[str]]:
    """Read a file with cells as rows, and say what was done for that."""
    require_readable(path)
    kind, notices = kind_of(path), []
    known = kind not in ("table", "parquet")
    if kind == "parquet":
        adata, known = read_parquet(path)
    elif kind == "table":
        adata = read_table(path)
    elif kind == "folder":
        adata = tenx.read_folder(path)
    else:
        adata = _checked(path)
    require_cells(adata)
    if not transpose and not known and genes_are_rows(path, adata):
        transpose = True
        notices.append("The table had genes as rows and was transposed.")
    if transpose:
        adata = _transposed(adata)
    if mangled := likely_originals(adata.var_names):
        notices.append(mangled)
    return adata, notices


def _transposed(adata: AnnData) -> AnnData:
    result = adata.T.copy()
    matrix: Any = result.X
    if getattr(matrix, "format", "csr") != "csr":
        result.X = matrix.tocsr()
    return result


def require_readable(path: Path) -> None:
    """Refuse a path that is not there, or not ours to read."""
    if not path.exists():
        near = sorted(file.name for file in path.parent.glob("*.h5*"))[:3]
        raise errors.InputError(
            f"There is no file {path}.", fix=f"Nearby: {', '.join(near)}." if near else ""
        )
    if not os.access(path, os.R_OK):
        raise errors.InputError(f"{path} may not be read by you.", fix="Change its permissions.")


def _checked(path: Path) -> AnnData:
    """Read HDF5 or zarr, after another process has checked it."""
    kind = probed(path)
    if kind.startswith("10x"):
        return tenx.read_h5(path, kind)
    return load_anndata(path, kind)


def probed(path: Path) -> str:
    """Have another process check an HDF5 file or zarr store, and return its kind.

    Raises
    ------
    PancyteError
        What the other process found wrong, or that it crashed or hung.
    """
    where = os.pathsep.join(filter(None, sys.path))
    again = "Copy or download the file again."
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "pancyte.corpus.probe", str(path)],
            capture_output=True,
            env={**os.environ, "PYTHONPATH": where},
            timeout=PATIENCE + _size(path) / SLOWEST,
        )
    except subprocess.TimeoutExpired as error:
        raise errors.IntegrityError(
            f"{path} could not be read within {error.timeout:.0f} s: it is damaged, or its disk "
            "does not answer.",
            fix=again,
        ) from None
    # killed by a signal, which Windows reports as a status above 255
    if not 0 <= done.returncode < 256:
        raise errors.IntegrityError(
            f"{path} is damaged: reading it crashes the HDF5 library (status {done.returncode}).",
            fix=again,
        )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise errors.PancyteError(f"{path} could not be checked: {said[-1] if said else '?'}.")
    report = json.loads(done.stdout)
    if "error" in report:
        raise getattr(errors, report["error"])(report["what"], fix=report["fix"])
    return report["kind"]


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)


def load_h5ad(path: Path) -> AnnData:
    """Read an h5ad whose content is already known to be sound."""
    return load_anndata(path, "h5ad")


def load_anndata(path: Path, kind: str) -> AnnData:
    """Read an h5ad or zarr store whose content is already known to be sound."""
    import anndata

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*names are not unique")
            warnings.simplefilter("ignore", anndata.OldFormatWarning)
            return zarr.read_store(path) if kind == "zarr" else anndata.read_h5ad(path)
    except Exception as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        if type(error).__name__ == "IORegistryError":
            raise errors.InputError(
                f"{path} uses an encoding that anndata {version('anndata')} does not know: "
                f"{reason[0]}",
                fix="Update anndata (pip install -U anndata).",
            ) from None
        raise errors.IntegrityError(
            f"{path} cannot be read: {reason[0].rstrip('.')}.",
            fix="Open it where it was made and write it again.",
        ) from None


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
