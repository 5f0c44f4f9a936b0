"""scVI and scANVI as methods under test: deep generative models of the very cells asked about."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pancyte.corpus.cells import column
from pancyte.errors import MissingError
from pancyte.tasks.baselines import batches_of
from pancyte.tasks.expression import raw_counts

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from pancyte.shapes import Cells

EPOCHS, MINIBATCH = 200, 128
LABELLED_EPOCHS = 20
LEARNED = 0.9
"""Share of the cells that scANVI is trained on: the library's own."""
UNKNOWN = "not known"


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
        parts = (reference, *queries)
        with _quietly(seed):
            model = _of_parts(parts, batch_key, seed, self.minibatches)
            vectors = model.get_latent_representation()
        return _apart(vectors, parts)


class SCANVI:
    """scVI with the labels told, as far as known (Xu et al. 2021, Mol. Syst. Biol. 17:e9620).

    Cells whose label is ``""`` are the unlabelled ones. scVI as above, then 20 epochs with labels.
    Its scores on cells whose labels it was given say nothing. Needs the extra ``scvi``.

    Parameters
    ----------
    label_key
        Column of the labels, in the reference and, where they are told, in queries.
    """

    name = "scanvi"
    sees_labels = True

    def __init__(self, label_key: str) -> None:
        self.label_key = label_key

    def embed(
        self, reference: Cells, *queries: Cells, batch_key: str | None, seed: int
    ) -> tuple[np.ndarray, ...]:
        """Return (cells, 10) for the reference and for each query."""
        parts = (reference, *queries)
        known = [column(cells, self.label_key) if self.label_key in cells.obs
                 else np.full(len(cells), "") for cells in parts]  # fmt: skip
        labels = np.concatenate(known)
        with _quietly(seed) as scvi:
            model = _of_parts(parts, batch_key, seed)
            model.adata.obs["label"] = np.where(labels == "", UNKNOWN, labels)
            semi = scvi.model.SCANVI.from_scvi_model(
                model, unlabeled_category=UNKNOWN, labels_key="label"
            )
            told, rest = int((labels != "").sum()), int((labels == "").sum())
            semi.train(
                max_epochs=LABELLED_EPOCHS, train_size=LEARNED, batch_size=_size(told, rest),
                accelerator="cpu", enable_progress_bar=False, logger=False,
            )  # fmt: skip
            vectors = semi.get_latent_representation()
        return _apart(vectors, parts)


def _size(told: int, rest: int) -> int:
    """Choose a minibatch size that leaves no single cell over, which batch norm cannot take.

    scvi-tools looks to that for the labelled and for the other cells, not for both together.
    """
    learned = [math.ceil(LEARNED * cells) for cells in (told, rest)]
    sizes = range(MINIBATCH, MINIBATCH // 2, -1)
    return next(size for size in sizes if 1 not in (sum(learned) % size, learned[0] % size))


def trained(
    counts: csr_matrix, batches: np.ndarray, *, seed: int, minibatches: int | None = None
) -> Any:
    """Train scVI on counts, (cells, genes), of given batches, (cells,); its own model class.

    Raises
    ------
    MissingError
        If scvi-tools is not installed.
    """
    from anndata import AnnData

    names = pd.Index(np.arange(counts.shape[0]).astype(str))
    adata = AnnData(counts, obs=pd.DataFrame({"batch": batches}, index=names))
    with _quietly(seed) as scvi:
        scvi.model.SCVI.setup_anndata(adata, batch_key="batch")
        model = scvi.model.SCVI(adata)
        epochs = min(EPOCHS, round(20_000 / len(adata) * 400))
        if minibatches is not None:
            epochs = max(1, min(epochs, minibatches * MINIBATCH // len(adata)))
        model.train(max_epochs=epochs, accelerator="cpu", enable_progress_bar=False, logger=False)
    return model


@contextmanager
def _quietly(seed: int) -> Iterator[Any]:
    """Give scvi-tools, seeded, without its warnings."""
    try:
        import scvi
    except ImportError as error:
        raise MissingError(
            "The methods 'scvi' and 'scanvi' need scvi-tools, which is not installed.",
            fix="pip install 'pancyte[scvi]'",
        ) from error
    scvi.settings.seed = seed
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield scvi


def _of_parts(
    parts: tuple[Cells, ...], batch_key: str | None, seed: int, minibatches: int | None = None
) -> Any:
    from scipy.sparse import vstack

    counts = vstack(raw_counts(*parts), format="csr")
    return trained(counts, _batches(parts, batch_key), seed=seed, minibatches=minibatches)


def _apart(vectors: np.ndarray, parts: tuple[Cells, ...]) -> tuple[np.ndarray, ...]:
    return tuple(np.split(vectors, np.cumsum([len(cells) for cells in parts])[:-1]))


def _batches(parts: tuple[Cells, ...], batch_key: str | None) -> np.ndarray:
    """Batch of each cell; a single one where nothing tells them apart."""
    if batch_key is None and len(parts) == 1:
        return np.zeros(len(parts[0]), int).astype(str)
    return batches_of(parts, batch_key)
