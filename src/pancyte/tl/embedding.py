"""Represent cells by a pre-trained model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pancyte.corpus.cells import to_cells
from pancyte.tl.provenance import facts_of_cells, facts_of_model, loaded, record

if TYPE_CHECKING:
    from anndata import AnnData

    from pancyte.models.model import Model


def embed(
    adata: AnnData,
    model: Model | str,
    *,
    pooling: Literal["mean", "cls", "own"] | None = None,
    layer: str | None = None,
    key_added: str | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Represent each cell by a pre-trained model, without training on these cells.

    Parameters
    ----------
    adata
        Cells with raw counts somewhere in X, a layer or raw.
    model
        A loaded model, or what `pancyte.load` takes.
    pooling
        Average over a cell's genes, the ``<cls>`` vector, or ``"own"``, where a published model has
        a way of its own; by default what the model is meant for.
    layer
        Layer that holds the counts; found and verified if not given.
    key_added
        Where in ``.obsm``; default ``X_<model name>``.
    copy
        Return a changed copy instead of writing into `adata`.

    Returns
    -------
    The copy, or None. ``.obsm[key_added]`` is (cells, width) float32.
    """
    adata = adata.copy() if copy else adata
    model = loaded(model)
    cells = to_cells(adata, layer=layer)
    key = key_added or f"X_{model.name.replace('-', '_')}"
    how = pooling or model.pooling
    adata.obsm[key] = model.embed(cells, pooling=how)
    record(
        adata,
        "embed",
        model=facts_of_model(model),
        cells=facts_of_cells(cells),
        key=key,
        pooling=how,
    )
    return adata if copy else None
