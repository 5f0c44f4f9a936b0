"""Decisions as columns of an AnnData."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from pancyte.corpus.cells import column
from pancyte.corpus.notices import tell

if TYPE_CHECKING:
    from anndata import AnnData

    from pancyte.deciding.decision import Decision
    from pancyte.deciding.markers import MarkerDecision
    from pancyte.shapes import Cells

SEPARATOR = " | "
CLUSTERED = 50_000
"""Cells up to which neighbours are searched exactly and clusters given."""


def add_decision(adata: AnnData, decision: Decision, key: str) -> None:
    """Write labels, calibrated probabilities, label sets and novelty."""
    adata.obsm[f"X_{key}_pca"] = decision.embedding.astype(np.float32)
    adata.obsm[f"{key}_probabilities"] = decision.probabilities.astype(np.float32)
    patterns, rows = np.unique(decision.sets, axis=0, return_inverse=True)
    names = [SEPARATOR.join(decision.classes[pattern]) for pattern in patterns]
    columns = {
        "label": pd.Categorical(decision.labels),
        "best": pd.Categorical(np.where(decision.reasons == "empty", "", decision.best)),
        "probability": decision.probabilities.max(axis=1),
        "trust": decision.trust,
        "set": pd.Categorical([names[row] for row in rows.ravel()]),
        "set_size": decision.sets.sum(axis=1),
        "novelty": decision.novelty,
    }
    _add(adata, key, columns)


def add_marker_decision(adata: AnnData, decision: MarkerDecision, key: str) -> None:
    """Write labels, scores and the significance of the markers' detection."""
    adata.obsm[f"X_{key}_pca"] = decision.embedding.astype(np.float32)
    columns = {
        "label": pd.Categorical(decision.labels),
        "best": pd.Categorical(decision.best),
        "score": decision.scores.max(axis=1),
        "p_value": decision.p_values,
    }
    _add(adata, key, columns)


def add_ontology(
    adata: AnnData,
    decision: Decision,
    known: Cells,
    key: str,
    *,
    label_key: str,
    path: str | Path | Literal[False] | None,
    id_key: str | None,
) -> dict[str, str]:
    """Write the narrowest Cell Ontology term above all labels left; return the labels' terms."""
    if path is False:
        return {}
    from pancyte.deciding.ontology import ID_COLUMNS, load_ontology, roll_up

    ontology = load_ontology(path)
    ids = id_key or next((name for name in ID_COLUMNS if name in known.obs), None)
    terms: list[str | None] = []
    labels = column(known, label_key)
    given = column(known, ids) if ids else np.full(len(known), "")
    for label in decision.classes:
        commonest = pd.Series(given[labels == label]).mode().iloc[0]
        terms.append(ontology.find(commonest) or ontology.find(str(label)))
    without = [str(c) for c, term in zip(decision.classes, terms, strict=True) if term is None]
    if without:
        tell(f"not in the Cell Ontology, so never rolled up: {', '.join(without)}")
    found, summed = roll_up(ontology, terms, decision.sets, decision.probabilities)
    names = [ontology.labels.get(term, "") for term in found]
    columns = {
        "ontology_id": pd.Categorical(found),
        "ontology_label": pd.Categorical(names),
        "ontology_probability": summed,
    }
    _add(adata, key, columns)
    return {str(c): t for c, t in zip(decision.classes, terms, strict=True) if t is not None}


def add_clusters(
    adata: AnnData, embedding: np.ndarray, best: np.ndarray, reasons: np.ndarray, key: str
) -> None:
    """Write the cluster of each cell and what its cells say together."""
    if not 3 <= len(embedding) <= CLUSTERED:
        tell(f"no clusters: they are given for 3 to {CLUSTERED:,} cells.")
        return
    from pancyte.deciding.consensus import consensus
    from pancyte.metrics.neighbours import leiden

    clusters = leiden(embedding)
    labels, margins = consensus(clusters, np.where(reasons == "", best, ""))
    columns = {
        "cluster": pd.Categorical(clusters.astype(str)),
        "cluster_label": pd.Categorical(labels),
        "cluster_margin": margins,
    }
    _add(adata, key, columns)


def _add(adata: AnnData, key: str, columns: dict[str, object]) -> None:
    for name, values in columns.items():
        adata.obs[f"{key}_{name}"] = values
