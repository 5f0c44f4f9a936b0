"""Place cells among those of a reference, and take over its labels as votes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pancyte.corpus.cells import to_cells
from pancyte.corpus.notices import tell
from pancyte.errors import UsageError
from pancyte.tl.provenance import facts_of_cells, loaded, record

if TYPE_CHECKING:
    from anndata import AnnData

    from pancyte.mapping.reference import ReferenceIndex
    from pancyte.models.model import Model

FAR = "unassigned: far"


def map(  # noqa: A001 -- the verb
    adata: AnnData,
    reference: AnnData | ReferenceIndex | str | Path,
    *,
    label_key: str | None = None,
    model: Model | str | None = None,
    far: float = 0.01,
    key_added: str = "mapped",
    copy: bool = False,
) -> AnnData | None:
    """Place cells among those of a reference, and label them by the votes of the nearest.

    Parameters
    ----------
    adata
        Cells with raw counts somewhere in X, a layer or raw.
    reference
        Labelled cells, or a saved index (`build_index`).
    label_key
        Column of the reference's labels; an index has them already.
    model
        What places the cells. Without one, the reference's own principal components, which on
        many data are no worse. A saved index takes only the model it was made by.
    far
        Cells that lie farther from the reference than all but this share of its own cells lie
        from each other stay `"unassigned: far"`.
    key_added
        Prefix of what is written.
    copy
        Return a changed copy instead of writing into `adata`.

    Returns
    -------
    The copy, or None. ``.obs`` gets ``mapped_label``, ``mapped_vote`` (share of the 15 nearest,
    nearer ones weighing more; not a probability), ``mapped_distance`` to the nearest and
    ``mapped_usual``; ``.obsm`` gets ``X_mapped`` and ``mapped_votes``.

    Raises
    ------
    IntegrityError
        If a saved index is damaged or was made by another model.
    """
    adata = adata.copy() if copy else adata
    index = _index(reference, label_key, model)
    cells = to_cells(adata)
    placed = index.place(cells)
    empty = np.asarray(cells.counts.sum(axis=1)).ravel() == 0
    unlike = (placed.usual < far) | empty
    adata.obs[f"{key_added}_label"] = pd.Categorical(
        np.where(unlike, FAR, placed.labels.astype(object))
    )
    adata.obs[f"{key_added}_vote"] = placed.votes.max(axis=1)
    adata.obs[f"{key_added}_distance"] = placed.distances[:, 0]
    adata.obs[f"{key_added}_usual"] = placed.usual
    adata.obsm[f"X_{key_added}"] = placed.vectors
    adata.obsm[f"{key_added}_votes"] = placed.votes.astype(np.float32)
    tell(
        f"mapped by {index.maker['name']} onto {len(index):,} cells ({index.search.kind} "
        f"search); {unlike.mean():.1%} lie too far from all of them, median vote "
        f"{np.median(placed.votes.max(axis=1)):.2f}"
    )
    record(
        adata,
        "map",
        cells=facts_of_cells(cells),
        maker=index.maker,
        reference=index.facts,
        search=index.search.kind,
        classes=[str(name) for name in index.classes],
        far=far,
        unassigned=int(unlike.sum()),
        key=key_added,
    )
    return adata if copy else None


def build_index(
    reference: AnnData,
    *,
    label_key: str,
    model: Model | str | None = None,
    approximate: bool | None = None,
    save: str | Path | None = None,
) -> ReferenceIndex:
    """Prepare a labelled reference, so that cells can be mapped onto it again and again.

    Parameters
    ----------
    reference
        Labelled cells with raw counts.
    label_key
        Column of the labels.
    model
        What places the cells; without one, the reference's own principal components.
    approximate
        Whether to search approximately; by default above 50,000 cells.
    save
        Folder to write as well.
    """
    from pancyte.mapping.reference import ReferenceIndex

    cells = to_cells(reference, name="the reference")
    one = None if model is None else loaded(model)
    index = ReferenceIndex.build(cells, label_key=label_key, model=one, approximate=approximate)
    index.facts |= facts_of_cells(cells)
    if save is not None:
        index.save(save)
    return index


def _index(
    given: AnnData | ReferenceIndex | str | Path, label_key: str | None, model: Model | str | None
) -> ReferenceIndex:
    from pancyte.mapping.reference import ReferenceIndex, load_index, require_maker

    if isinstance(given, str | Path):
        return load_index(given, model=None if model is None else loaded(model))
    if isinstance(given, ReferenceIndex):
        if model is not None:
            require_maker(given.maker, loaded(model), "The index")
        return given
    if label_key is None:
        raise UsageError("label_key was not given.", fix="Name the reference's label column.")
    return build_index(given, label_key=label_key, model=model)
