"""Writing results: checked before the work starts, atomic when it ends."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pancyte import files

if TYPE_CHECKING:
    from anndata import AnnData


def prepare_obs(adata: AnnData) -> list[str]:
    """Make every ``obs`` and ``var`` column writable now, rather than fail after a long run.

    Columns that mix types (numbers beside text) become text; missing values stay missing.

    Returns
    -------
    Names of the columns that were changed.
    """
    changed = []
    for table in (adata.obs, adata.var):
        for name in table.select_dtypes(object):
            present = table[name].dropna()
            if not all(isinstance(value, str) for value in present):
                table[name] = table[name].map(str, na_action="ignore").astype("category")
                changed.append(str(name))
    return changed


def write_h5ad(adata: AnnData, path: str | Path) -> None:
    """Write an h5ad beside the old one and put it in its place in one step."""
    with files.atomic_path(path) as partial:
        adata.write_h5ad(partial, compression="gzip")
