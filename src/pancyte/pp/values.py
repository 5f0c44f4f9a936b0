"""Logged values, from counts or from what was made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pancyte.pp.history import history_of, record

if TYPE_CHECKING:
    from anndata import AnnData


def log_normalise(
    adata: AnnData,
    *,
    target_sum: float = 1e4,
    layer: str | None = None,
    key_added: str = "log1p",
    copy: bool = False,
) -> AnnData | None:
    """Add logged values of one depth, from counts or from values that were normalised already.

    Counts win wherever they are. Values normalised to another total are rescaled, and logged ones
    are never logged twice. X stays as it is.

    Parameters
    ----------
    adata
        Cells. Changed in place unless `copy`.
    target_sum
        Total per cell before the logarithm.
    layer
        Where to look, instead of X, the layers and raw.
    key_added
        Layer to write.
    copy
        Return a changed copy instead.

    Returns
    -------
    None, or the copy, with ``.layers[key_added]``: log(1 + x), (cells, genes) float32.

    Raises
    ------
    InputError
        If there are neither counts nor values of a known total per cell.
    """
    from pancyte.corpus.logged import log_normalised
    from pancyte.corpus.notices import tell

    history_of(adata)
    adata = adata.copy() if copy else adata
    values, done = log_normalised(adata, target_sum, layer=layer)
    adata.layers[key_added] = values
    record(adata, "log_normalise", key=key_added, target_sum=target_sum, done=done)
    tell(done)
    return adata if copy else None
