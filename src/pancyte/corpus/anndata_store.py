"""AnnData as stored, in HDF5 or zarr: whole, or one part of something larger."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pancyte.corpus.structure import Group
from pancyte.errors import InputError, IntegrityError, MissingError, PancyteError

if TYPE_CHECKING:
    from anndata import AnnData

RNA = ("rna", "mrna", "gex", "geneexpression", "transcriptome")
# the first anndata that reads an encoding, where the oldest supported one does not
_SINCE = {"null": "0.12", "accessor": "0.14"}
PARTS = ("X", "obs", "var", "layers", "obsm", "varm", "obsp", "varp", "uns", "raw")


@contextmanager
def read_errors(path: Path) -> Iterator[None]:
    """Say what anndata's complaints about a file mean for its reader.

    Raises
    ------
    InputError
        If the file needs a newer anndata.
    MissingError
        If it needs a package that is not installed.
    IntegrityError
        If it cannot be read for any other reason.
    """
    import anndata

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", anndata.OldFormatWarning)
            warnings.filterwarnings("ignore", message="Support for Awkward Arrays")
            yield
    except PancyteError:
        raise
    except ImportError as error:
        package = "awkward" if "awkward" in str(error) else error.name
        raise MissingError(
            f"{path} holds an array that needs {package}.", fix=f"pip install {package}"
        ) from None
    except Exception as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        if type(error).__name__ == "IORegistryError":
            raise _newer(path, "\n".join([*reason, *getattr(error, "__notes__", [])])) from None
        raise IntegrityError(
            f"{path} cannot be read: {reason[0].rstrip('.')}.",
            fix="Open it where it was made and write it again.",
        ) from None


def _newer(path: Path, reason: str) -> InputError:
    """Name the encoding that this anndata does not know, and where it is."""
    found = dict(re.findall(r"encoding_(type|version)='([^']*)'", reason))
    place = re.search(r"reading key '([^']*)'", reason)
    kind = found.get("type", "")
    since = _SINCE.get(kind)
    needed = f">={since}" if since else f">{version('anndata')}"
    where = f" at {place[1]!r}" if place else ""
    return InputError(
        f"{path} uses the encoding {kind} {found.get('version', '')}{where}, which anndata "
        f"{version('anndata')} does not know.",
        fix=f"pip install -U 'anndata{needed}'",
    )


def read_whole(path: Path) -> AnnData:
    """Read an h5ad."""
    import anndata

    return anndata.read_h5ad(path)


def read_part(store: Any, part: str) -> AnnData:
    """Read the AnnData at `part` of an open HDF5 file or zarr store.

    For a modality of a MuData, ``obs`` columns that all modalities share are added.
    """
    from anndata import AnnData
    from anndata.io import read_elem

    group = store[part]
    adata = AnnData(**{name: read_elem(group[name]) for name in PARTS if name in group})
    if part.startswith("mod/") and "obs" in store:
        shared = read_elem(store["obs"]).reindex(adata.obs_names)
        for column in shared.columns.difference(adata.obs.columns, sort=False):
            # columns named after a modality are copies of its own
            if ":" not in column:
                adata.obs[column] = shared[column]
    return adata


def modality(path: Path, store: Group) -> tuple[str, tuple[str, ...]]:
    """Find the modality with gene expression in a MuData.

    Returns
    -------
    Its path inside the store, and a notice that names the others.

    Raises
    ------
    InputError
        If none is called RNA and there are several.
    """
    names = list(store["mod"])
    found = [name for name in names if "".join(filter(str.isalnum, name.lower())) in RNA]
    if len(names) == 1:
        found = names
    if len(found) != 1:
        raise InputError(
            f"{path} has {len(names)} modalities ({', '.join(names)}), and "
            f"{len(found) or 'none'} named rna.",
            fix="Save the one to read: mudata.read(path).mod[NAME].write_h5ad(…).",
        )
    others = [name for name in names if name not in found]
    told = f"Took the modality {found[0]}; left out {', '.join(others)}."
    return f"mod/{found[0]}", (told,) if others else ()
