"""Find small groups of cells with genes of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pancyte.corpus.cells import to_cells
from pancyte.corpus.notices import tell
from pancyte.errors import InputError
from pancyte.tl.provenance import facts_of_cells, facts_of_model, loaded, record

if TYPE_CHECKING:
    from anndata import AnnData
    from scipy.sparse import csr_matrix

    from pancyte.models.model import Model
    from pancyte.rare.finder import Found, GroupLimits
    from pancyte.shapes import Cells

DOUBLETS = 0.5
"""From this on a sum of two other groups explains a group well enough to say so."""


def rare(
    adata: AnnData,
    *,
    limits: GroupLimits | None = None,
    model: Model | str | None = None,
    use_rep: str | None = None,
    key_added: str = "rare",
    seed: int = 0,
    copy: bool = False,
) -> AnnData | None:
    """Find small groups of cells that have genes no other group has, and say how sure each is.

    The reads of every cell are dealt out in two parts. In the first, cells are clustered, each
    cluster is split by the genes that vary in it alone, and cells that share rarely read genes
    are gathered; a group's markers are genes at more than 1.5 times the level of any other group
    of its size. In the second part, which had no say in this, the markers are tested. The same
    search on shuffled cells says how strong a group of chance is, and groups are called with a
    bounded share of false discoveries. All is done for three dealings, and they have to agree.

    Parameters
    ----------
    adata
        Raw counts of at least 100 cells.
    limits
        `pancyte.rare.finder.GroupLimits`: fewest cells (3), largest share (.1), false discoveries
        (.05), number of dealings (3).
    model
        A model in whose embedding groups are looked for as well. It embeds the first part of the
        reads, so that the tests stay fair.
    use_rep
        An embedding in ``.obsm`` to look in as well. It has seen all reads, so p-values of groups
        that only it shows (``view``) are too small.
    key_added
        Prefix of everything that is added.
    seed
        Seed of everything random.
    copy
        Return a changed copy instead of writing into `adata`.

    Returns
    -------
    The copy, or None. Added to ``.obs``, with ``key_added`` in front:

    - ``_group``: the called group, ``""`` for none;
    - ``_score``: how rare the cell looks; below 1 if no group, called or not, claims it;
    - ``_p_value``: share of the cells outside its group with as much of the group's markers in
      held-out reads; 1 without a group.

    ``.uns["<key_added>_groups"]`` lists all groups, called or not: ``cells``, ``p_value``,
    ``q_value`` (false discoveries if all groups down to this one are called), ``markers``, ``fold``
    (of their level to the next group's), ``stability`` (share of the dealings that found it),
    ``doublets`` (how much a sum of two other groups explains; from .5 on, look at it with
    suspicion), ``view`` and ``called``.

    Raises
    ------
    InputError
        If there are too few cells or genes, or no such embedding.
    """
    from pancyte.rare.finder import GroupLimits, find_rare

    used = None if model is None else loaded(model)
    cells = to_cells(adata)
    chosen = limits or GroupLimits()
    views = {} if used is None else {used.name: by_model(used, cells)}
    if use_rep is not None:
        views[use_rep] = _as_given(adata, use_rep)
    found = find_rare(cells, limits=chosen, views=views, seed=seed)
    adata = adata.copy() if copy else adata
    table = _table(found, cells, chosen)
    names = np.array([*table.index, ""], dtype=object)
    adata.obs[f"{key_added}_group"] = pd.Categorical(names[found.members])
    adata.obs[f"{key_added}_score"] = found.scores
    adata.obs[f"{key_added}_p_value"] = found.p_values
    adata.uns[f"{key_added}_groups"] = table
    _say(table)
    record(
        adata, "rare", cells=facts_of_cells(cells), key=key_added, seed=seed,
        model=None if used is None else facts_of_model(used), use_rep=use_rep,
        limits=vars(chosen), called=int(table["called"].sum()), tried=len(table),
        null=[round(float(one), 2) for one in found.null],
    )  # fmt: skip
    return adata if copy else None


def by_model(model: Model, cells: Cells) -> Any:
    """Return a function of counts that embeds these cells as if they had those."""
    from pancyte.rare.finder import measured

    genes = measured(cells)

    def embed(counts: csr_matrix) -> np.ndarray:
        part = replace(cells, counts=counts, features=cells.features.iloc[genes])
        return model.embed(part)

    return embed


def _as_given(adata: AnnData, key: str) -> Any:
    if key not in adata.obsm:
        raise InputError(
            f"The data have no embedding {key!r}.",
            fix=f"Embeddings here: {sorted(adata.obsm)}.",
        )
    vectors = np.asarray(adata.obsm[key], dtype=np.float64)
    if not np.isfinite(vectors).all():
        raise InputError(f"The embedding {key!r} holds NaN or infinity.", fix="Embed anew.")
    tell(f"{key} was made of all reads: p-values of groups that only it shows are too small.")
    return lambda counts: vectors


def _table(found: Found, cells: Cells, limits: GroupLimits) -> pd.DataFrame:
    symbols = cells.features.get("symbol", pd.Series(cells.features.index, cells.features.index))
    shown = np.where(symbols.isna() | (symbols == ""), cells.features.index, symbols).astype(str)
    rows = [
        {
            "cells": len(group.cells),
            "p_value": group.p,
            "q_value": group.q,
            "called": bool(group.q <= limits.alpha),
            "fold": group.fold,
            "stability": group.stability,
            "doublets": group.doublets,
            "view": group.view,
            "markers": ", ".join(shown[group.markers]),
        }
        for group in found.groups
    ]
    columns = ["cells", "p_value", "q_value", "called", "fold", "stability", "doublets", "view",
               "markers"]  # fmt: skip
    index = [f"group {number + 1}" for number in range(len(rows))]
    return pd.DataFrame(rows, index=index, columns=columns)


def _say(table: pd.DataFrame) -> None:
    called = table[table["called"].astype(bool)]
    tell(f"{len(called)} rare groups, of {len(table)} that stood out.")
    for name, row in called.iterrows():
        doubt = ", perhaps doublets" if row["doublets"] >= DOUBLETS else ""
        genes = ", ".join(row["markers"].split(", ")[:5])
        tell(f"  {name}: {row['cells']} cells, q = {row['q_value']:.1g}{doubt}: {genes}")
