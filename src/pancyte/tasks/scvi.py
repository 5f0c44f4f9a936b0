"""scVI as a method under test: a deep generative model of the very cells it is asked about."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pancyte.errors import MissingError
from pancyte.tasks.baselines import batches_of
from pancyte.tasks.expression import raw_counts

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from pancyte.shapes import Cells

EPOCHS, MINIBATCH = 200, 128


class SCVI:
    """A variational autoencoder of the counts with batches told (Lopez et al. 2018).

    Nat. Methods 15:1053. Transductive: it is trained on reference and query together, without
    labels, on the counts of the reference's 2,000 highly variable genes, with the library's own
    settings, but at most 200 epochs. Needs the extra ``scvi``.

    Parameters
    ----------
    minibatches
        Train on about so many at most, of 128 cells each; no limit by default.
    """

    name = "scvi"

    def __init__(self, minibatches: int | None = None) -> None:
        self.minibatches = minibatches

    def embed(
        self, reference: Cells, *queries: Cells, batch_key: str | None, seed: int
    ) -> tuple[np.ndarray, ...]:
        """Return (cells, 10) for the reference and for each query."""
        from scipy.sparse import vstack

        parts = (reference, *queries)
        counts = vstack(raw_counts(*parts), format="csr")
        batches = _batches(parts, batch_key)
        model = trained(counts, batches, seed=seed, minibatches=self.minibatches)
        vectors = model.get_latent_representation()
        bounds = np.cumsum([len(cells) for cells in parts])[:-1]
        return tuple(np.split(vectors, bounds))


def trained(
    counts: csr_matrix, batches: np.ndarray, *, seed: int, minibatches: int | None = None
) -> Any:
    """Train scVI on counts, (cells, genes), of given batches, (cells,); its own model class.

    Raises
    ------
    MissingError
        If scvi-tools is not installed.
    """
    try:
        import scvi
    except ImportError as error:
        raise MissingError(
            "The method 'scvi' needs scvi-tools, which is not installed.",
            fix="pip install 'pancyte[scvi]'",
        ) from error
    from anndata import AnnData

    names = pd.Index(np.arange(counts.shape[0]).astype(str))
    adata = AnnData(counts, obs=pd.DataFrame({"batch": batches}, index=names))
    scvi.settings.seed = seed
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scvi.model.SCVI.setup_anndata(adata, batch_key="batch")
        model = scvi.model.SCVI(adata)
        epochs = min(EPOCHS, round(20_000 / len(adata) * 400))
        if minibatches is not None:
            epochs = max(1, min(epochs, minibatches * MINIBATCH // len(adata)))
        model.train(max_epochs=epochs, accelerator="cpu", enable_progress_bar=False, logger=False)
    return model


def _batches(parts: tuple[Cells, ...], batch_key: str | None) -> np.ndarray:
    """Batch of each cell; a single one where nothing tells them apart."""
    if batch_key is None and len(parts) == 1:
        return np.zeros(len(parts[0]), int).astype(str)
    return batches_of(parts, batch_key)
