"""Say what cells would show if they were sequenced more deeply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pancyte import registry
from pancyte.corpus.cells import to_cells
from pancyte.corpus.notices import tell
from pancyte.errors import InputError, ResourceError, UsageError
from pancyte.tl.provenance import facts_of_cells, facts_of_model, history, loaded, record

if TYPE_CHECKING:
    from anndata import AnnData

    from pancyte.models.model import Model
    from pancyte.shapes import Cells

TRIED = ("no-op", "pca-denoise", "magic-like")
LARGEST = 500_000_000
"""Cells × genes of a dense layer; 2 GB."""
WARNING = (
    "denoised values borrow from other cells: do not test genes for differences on them "
    "(Andrews & Hemberg 2018); the counts are where they were."
)


def denoise(
    adata: AnnData,
    *,
    method: str | None = None,
    model: Model | str | None = None,
    key_added: str = "denoised",
    seed: int = 0,
    copy: bool = False,
) -> AnnData | None:
    """Estimate what each cell would show if it were sequenced without limit, for looking at.

    Without a method, a tenth of the reads is withheld, and the method is taken that predicts them
    best: the counts as they are, principal components, a walk among neighbours and, if a model
    is given, its own head. The counts as they are may win, and then the layer holds those.

    Do not test genes for differences on denoised values: cells are no longer independent, and
    genes that do not differ come out as significant (Andrews & Hemberg 2018, F1000Research
    7:1740).

    Parameters
    ----------
    adata
        Raw counts, which are left as they are.
    method
        ``"no-op"``, ``"pca-denoise"``, ``"magic-like"``, ``"scvi-denoise"``, ``"model-head"`` or
        another registered one.
    model
        A model whose head predicts values, for ``"model-head"`` or to be tried.
    key_added
        Layer to write.
    seed
        Seed of everything random.
    copy
        Return a changed copy instead of writing into `adata`.

    Returns
    -------
    The copy, or None. ``.layers[key_added]``, (cells, genes) float32, holds expected counts at
    each cell's own depth.

    Raises
    ------
    UsageError
        If the layer exists and is not pancyte's, or the method does not denoise.
    ResourceError
        If a dense layer of all cells and genes would take more than 2 GB.
    """
    cells = to_cells(adata)
    _require_free(adata, key_added)
    if adata.n_obs * adata.n_vars > LARGEST:
        raise ResourceError(
            f"Denoised values are dense: {adata.n_obs:,} cells × {adata.n_vars:,} genes would take "
            f"{adata.n_obs * adata.n_vars * 4 / 1e9:.1f} GB.",
            fix="Take fewer genes, such as the variable ones, or fewer cells.",
        )
    if len(cells) < 3 or cells.counts.shape[1] != adata.n_vars:
        raise InputError(
            f"There are {len(cells)} cells whose counts have {cells.counts.shape[1]} genes; .var "
            f"has {adata.n_vars}.",
            fix="Give at least three cells, with the counts in X or a layer.",
        )
    adata = adata.copy() if copy else adata
    used = None if model is None else loaded(model)
    how: dict[str, Any] = {}
    chosen = None if method is None else denoiser(method, used)
    if chosen is None:
        chosen, how = _best(cells, used, seed)
    depth = np.asarray(cells.counts.sum(axis=1), dtype=np.float64)
    adata.layers[key_added] = (chosen.denoise(cells, seed=seed) * depth).astype(np.float32)
    tell(WARNING)
    record(
        adata, "denoise", method=chosen.name, key=key_added, seed=seed, warning=WARNING,
        cells=facts_of_cells(cells), model=None if used is None else facts_of_model(used), **how,
    )  # fmt: skip
    return adata if copy else None


def denoiser(name: str, model: Model | None) -> Any:
    """Make the registered method of this name.

    Raises
    ------
    UsageError
        If it does not denoise, or needs a model.
    """
    kind = registry.get("methods", name)
    needs = bool(getattr(kind, "needs_model", False))
    if not hasattr(kind, "denoise"):
        raise UsageError(
            f"The method {name!r} does not denoise.",
            fix=f"Use {', '.join(TRIED)}, scvi-denoise or model-head.",
        )
    if needs and model is None:
        raise UsageError(f"The method {name!r} needs a model.", fix="Give model=.")
    return kind(model) if needs else kind()


def _best(cells: Cells, model: Model | None, seed: int) -> tuple[Any, dict[str, Any]]:
    from pancyte.denoising.withheld import choose

    methods = [denoiser(name, None) for name in TRIED]
    methods += [] if model is None else [denoiser("model-head", model)]
    trial = choose(methods, cells, seed=seed)
    tell(trial.why)
    chosen = next(one for one in methods if one.name == trial.chosen)
    return chosen, {"withheld_deviance": trial.deviances, "why": trial.why}


def _require_free(adata: AnnData, key: str) -> None:
    ours = {entry.get("key") for entry in history(adata) if entry["verb"] == "denoise"}
    if key in adata.layers and key not in ours:
        raise UsageError(
            f"The data have a layer {key!r} already.",
            fix="Choose another name with key_added; counts are never written over.",
        )
