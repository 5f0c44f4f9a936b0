"""The border: AnnData in, `Cells` inside, AnnData out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pancyte.corpus import naming
from pancyte.corpus.checks import species_of
from pancyte.corpus.counts import canonical, features_of, locate, matrix_at, require_counts
from pancyte.errors import InputError
from pancyte.shapes import Cells

if TYPE_CHECKING:
    from anndata import AnnData

ASSAY_COLUMNS = ("assay", "technology", "platform")
SPECIES_COLUMNS = ("organism", "species")
UNKNOWN = "unknown"


def to_cells(adata: AnnData, *, layer: str | None = None, name: str = "cells") -> Cells:
    """Take the raw counts out of an AnnData, with the names of cells and genes.

    Parameters
    ----------
    adata
        Cells with counts in X, a layer or raw. Not changed.
    layer
        Layer to use; found and verified if not given.
    name
        What to call these cells in messages and tables.

    Returns
    -------
    Cells in the same order, counts as float32 CSR. ``features`` has ``ensembl_id`` (without
    versions) and ``symbol`` wherever ``var`` has them under whatever name. ``context`` has
    ``species``, ``assay`` and ``modality``.

    Raises
    ------
    InputError
        If there are no raw counts.
    """
    place = require_counts(adata, locate(adata, layer=layer))
    features = features_of(adata, place).copy()
    for kind, column in naming.other_names(features).items():
        features[kind] = naming.clean(features[column])
    return Cells(
        counts=canonical(matrix_at(adata, place)),
        features=features,
        obs=adata.obs.copy(),
        context=context_of(adata.obs, species_of(adata, features)),
        name=name,
    )


def context_of(obs: pd.DataFrame, species: str) -> pd.DataFrame:
    """Say of each cell its species, assay and modality, from what `obs` says.

    Parameters
    ----------
    obs
        One row per cell.
    species
        What the genes show; where that is ``"mixed"`` or ``"unknown"``, `obs` is asked.
    """
    kinds = pd.Series(species, index=obs.index)
    for column in SPECIES_COLUMNS:
        if kinds.iloc[:1].isin(["mixed", UNKNOWN]).all() and column in obs:
            kinds = obs[column].map(naming.organism).astype(object).fillna(UNKNOWN)
    assay = pd.Series(UNKNOWN, index=obs.index)
    for column in reversed(ASSAY_COLUMNS):
        if column in obs:
            assay = obs[column].astype(object).fillna(UNKNOWN).astype(str)
    columns = {"species": kinds, "assay": assay, "modality": "rna"}
    return pd.DataFrame(
        {
            key: pd.Categorical(pd.Series(values, index=obs.index))
            for key, values in columns.items()
        },
        index=obs.index,
    )


def to_anndata(cells: Cells) -> AnnData:
    """Make an AnnData of cells: counts in X, names and columns kept, context beside ``obs``.

    Columns of the context that ``obs`` already has are left as they are in ``obs``.
    """
    from anndata import AnnData

    extra = [name for name in cells.context if name not in cells.obs]
    obs = cells.obs.assign(**{str(name): cells.context[name].to_numpy() for name in extra})
    return AnnData(cells.counts.copy(), obs=obs, var=cells.features.copy())


def column(cells: Cells, key: str) -> np.ndarray:
    """Return a column of ``obs`` as text, ``""`` where missing.

    Raises
    ------
    InputError
        If there is no such column; those there are get named.
    """
    if key not in cells.obs:
        raise InputError(
            f"{cells.name} has no column {key!r} in obs.",
            fix=f"Its columns: {', '.join(map(str, cells.obs.columns)) or 'none'}.",
        )
    values = cells.obs[key]
    return np.where(values.isna(), "", values.astype(str)).astype(str)
