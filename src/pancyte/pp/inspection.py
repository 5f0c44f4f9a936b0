"""What cells hold, and which models could read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

    from pancyte.corpus.findings import Coverage, Findings


def check(
    adata: AnnData, *, models: Sequence[str | Path] | None = None, batch_key: str | None = None
) -> Findings:
    """Say what cells hold: species, gene names, where the counts are, and which models fit.

    Parameters
    ----------
    adata
        Any AnnData in memory; not changed.
    models
        Model folders to compare the genes with; those in ``settings.cache_dir / "models"`` if not
        given.
    batch_key
        Column of ``obs`` to verify as a technical batch.

    Returns
    -------
    What was found; ``.line()`` and ``.report()`` are for people, ``.as_dict()`` for machines.

    Raises
    ------
    InputError
        If there are no cells or genes, or `batch_key` is missing, incomplete or has one value only.
    MissingError
        If one of `models` is not a model folder.
    """
    from pancyte.corpus.checks import inspect, require_batches

    found = inspect(adata)
    if batch_key is not None:
        require_batches(adata.obs, batch_key)
    return replace(found, coverage=_coverage(adata, models, found.counts_in is not None))


def _coverage(
    adata: AnnData, models: Sequence[str | Path] | None, counted: bool
) -> tuple[Coverage, ...]:
    from pancyte.models.installed import installed, known_genes

    folders = installed() if models is None else models
    if not folders:
        return ()
    # these need torch, which takes two seconds
    from pancyte.corpus.cells import any_cells
    from pancyte.corpus.genes import coverage

    cells = any_cells(adata)
    fits = [coverage(cells, *known_genes(folder)) for folder in folders]
    return tuple(fits if counted else (replace(fit, counts=None) for fit in fits))
