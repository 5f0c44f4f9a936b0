"""Tools: represent and annotate cells; results go into the AnnData, with how they were made."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from pancyte.corpus.canonical import content_hash, fingerprints
from pancyte.corpus.cells import to_cells
from pancyte.corpus.notices import tell
from pancyte.errors import InputError, UsageError

if TYPE_CHECKING:
    from anndata import AnnData

    from pancyte.adaptation.probe import KNNProbe, LogisticProbe
    from pancyte.models.model import Model
    from pancyte.shapes import Cells

EMPTY = "unassigned: empty"
UNS_KEY = "pancyte"


def embed(
    adata: AnnData,
    model: Model | str,
    *,
    pooling: Literal["mean", "cls"] | None = None,
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
        Average over a cell's genes, or the ``<cls>`` vector; by default what suits the model.
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
    model = _loaded(model)
    cells = to_cells(adata, layer=layer)
    key = key_added or f"X_{model.name.replace('-', '_')}"
    how = pooling or model.pooling
    adata.obsm[key] = model.embed(cells, pooling=how)
    _record(adata, "embed", model, {"cells": _facts(cells)}, key=key, pooling=how)
    return adata if copy else None


def annotate(
    adata: AnnData,
    *,
    reference: AnnData,
    label_key: str,
    model: Model | str,
    method: Literal["logistic", "knn"] = "logistic",
    key_added: str = "pancyte",
    copy: bool = False,
) -> AnnData | None:
    """Label cells by comparing them with a labelled reference in a model's frozen embedding.

    Parameters
    ----------
    adata
        The cells to label; raw counts.
    reference
        Labelled cells; raw counts.
    label_key
        Column of ``reference.obs`` with the labels; cells without one are left out.
    model
        A loaded model, or what `pancyte.load` takes.
    method
        ``"logistic"``, multinomial logistic regression, or ``"knn"``, the 15 nearest reference
        cells by cosine.
    key_added
        Prefix: ``.obs["<key>_label"]`` and ``.obs["<key>_probability"]``.
    copy
        Return a changed copy instead of writing into `adata`.

    Returns
    -------
    The copy, or None. The probability is the probe's for its label, not a calibrated chance of
    being right: labels absent from the reference cannot be given. Cells without counts are
    labelled ``"unassigned: empty"``.
    """
    adata = adata.copy() if copy else adata
    model = _loaded(model)
    named = require_labels(reference, label_key)
    query, known = to_cells(adata), to_cells(reference).select(named)
    labels = known.obs[label_key].astype(str).to_numpy()
    fitted = _probe(method).fit(model.embed(known), labels)
    embedded = model.embed(query)
    probabilities = fitted.predict_proba(embedded)
    best = probabilities.argmax(axis=1)
    empty = ~embedded.any(axis=1)
    if empty.any():
        tell(f"{empty.sum():,} cells have no count of a gene that the model knows: {EMPTY!r}.")
    chosen = np.where(empty, EMPTY, np.asarray(fitted.classes_, dtype=object)[best])
    adata.obs[f"{key_added}_label"] = pd.Categorical(chosen)
    adata.obs[f"{key_added}_probability"] = np.where(
        empty, 0.0, probabilities[np.arange(len(best)), best]
    )
    key = f"X_{model.name.replace('-', '_')}"
    adata.obsm[key] = embedded
    _record(
        adata,
        "annotate",
        model,
        {"cells": _facts(query), "reference": _facts(known)},
        key=key_added,
        label_key=label_key,
        method=method,
        classes=[str(name) for name in fitted.classes_],
        empty=int(empty.sum()),
    )
    return adata if copy else None


def history(adata: AnnData) -> list[dict[str, Any]]:
    """Return how the results in an AnnData were made, oldest first."""
    return json.loads(adata.uns.get(UNS_KEY, "[]"))


def require_labels(reference: AnnData, label_key: str) -> np.ndarray:
    """Check that a reference has at least two labels; return which cells have one."""
    if label_key not in reference.obs:
        raise InputError(
            f"The reference has no obs column {label_key!r}.",
            fix=f"Its columns: {', '.join(map(str, reference.obs.columns)) or 'none'}.",
        )
    labels = reference.obs[label_key]
    named = (labels.notna() & ~labels.astype(str).str.lower().isin(["", "nan", "na"])).to_numpy()
    if labels[named].nunique() < 2:
        raise InputError(
            f"Column {label_key!r} of the reference has {labels[named].nunique()} label(s).",
            fix="At least two are needed.",
        )
    return named


def _probe(method: str) -> KNNProbe | LogisticProbe:
    from pancyte.adaptation.probe import KNNProbe, LogisticProbe

    if method not in ("logistic", "knn"):
        raise UsageError(f"There is no method {method!r}.", fix="Use logistic or knn.")
    return KNNProbe() if method == "knn" else LogisticProbe()


def _loaded(model: Model | str) -> Model:
    from pancyte.models.load import load

    return load(model) if isinstance(model, str) else model


def _facts(cells: Cells) -> dict[str, Any]:
    return {"cells": len(cells), "content_hash": content_hash(fingerprints(cells))}


def _record(adata: AnnData, verb: str, model: Model, data: dict[str, Any], **how: Any) -> None:
    if not isinstance(adata.uns.get(UNS_KEY, "[]"), str):
        raise UsageError(f".uns[{UNS_KEY!r}] is taken by something else.", fix="Rename it.")
    entry = {
        "verb": verb,
        "model": {"name": model.name, "sha256": model.fingerprint()},
        **data,
        **how,
        "pancyte": version("pancyte"),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    adata.uns[UNS_KEY] = json.dumps([*history(adata), entry])
