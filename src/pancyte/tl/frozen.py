"""Label cells by one model and one probe, as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pancyte.corpus.notices import tell
from pancyte.errors import UsageError
from pancyte.tl.provenance import facts_of_cells, facts_of_model, record

if TYPE_CHECKING:
    from anndata import AnnData

    from pancyte.models.model import Model
    from pancyte.shapes import Cells

UNLABELLED = "unassigned: empty"


def annotate_frozen(
    adata: AnnData,
    query: Cells,
    known: Cells,
    *,
    label_key: str,
    models: Sequence[Model],
    method: str,
    key: str,
) -> None:
    """Label cells by a probe on a model's frozen embedding, without trying anything else.

    Raises
    ------
    UsageError
        If there is not exactly one model, or no such probe.
    """
    from pancyte.adaptation.probe import KNNProbe, LogisticProbe

    if method not in ("logistic", "knn"):
        raise UsageError(f"There is no method {method!r}.", fix="Use logistic or knn.")
    if len(models) != 1:
        raise UsageError(
            f"method={method!r} needs one model; {len(models)} were given.",
            fix="Give one model, or leave method out: then ways to label are tried and chosen.",
        )
    (model,) = models
    labels = known.obs[label_key].astype(str).to_numpy()
    probe = KNNProbe() if method == "knn" else LogisticProbe()
    fitted = probe.fit(model.embed(known), labels)
    embedded = model.embed(query)
    probabilities = fitted.predict_proba(embedded)
    best = probabilities.argmax(axis=1)
    empty = ~embedded.any(axis=1)
    if empty.any():
        tell(f"{empty.sum():,} cells have no count of a gene that the model knows: {UNLABELLED!r}.")
    chosen = np.where(empty, UNLABELLED, np.asarray(fitted.classes_, dtype=object)[best])
    adata.obs[f"{key}_label"] = pd.Categorical(chosen)
    adata.obs[f"{key}_probability"] = np.where(
        empty, 0.0, probabilities[np.arange(len(best)), best]
    )
    adata.obsm[f"X_{model.name.replace('-', '_')}"] = embedded
    record(
        adata,
        "annotate",
        model=facts_of_model(model),
        cells=facts_of_cells(query),
        reference=facts_of_cells(known),
        key=key,
        label_key=label_key,
        method=method,
        classes=[str(name) for name in fitted.classes_],
        empty=int(empty.sum()),
    )
