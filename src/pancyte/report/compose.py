"""From what the verbs wrote (annotated cells, results, a training log) to a report."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pancyte import registry, tl
from pancyte.corpus.checks import inspect
from pancyte.errors import InputError
from pancyte.report.parts import (
    Calibration,
    Colouring,
    Comparison,
    Confusion,
    Picture,
    Provenance,
    Report,
    Scatter,
    Training,
)
from pancyte.report.pictures import pictures_of_cells, pictures_of_results
from pancyte.training.log import read_log

if TYPE_CHECKING:
    from anndata import AnnData

    from pancyte.benchmark.results import Results

PACKAGES = ("anndata", "numpy", "scanpy", "scikit-learn", "torch")
NOT_CALIBRATED = (
    "A probability is the classifier's own; the calibration figure or your own labelled cells "
    "tell how far to trust it."
)
CLOSED_WORLD = "A cell type that is absent from the reference can never be predicted."


@dataclass(frozen=True, eq=False)
class Material:
    """What there is to report on; leave out what there is not.

    Attributes
    ----------
    adata
        Cells annotated by `pancyte.tl.annotate`.
    label_key, batch_key
        Columns of true labels and of technical batches, where known.
    results
        A benchmark's results.
    run
        Folder of a training run.
    commands, repeat
        Command lines that made this, and the same for one's own file.
    title
        Heading of the page.
    """

    adata: AnnData | None = None
    label_key: str | None = None
    batch_key: str | None = None
    results: Results | None = None
    run: Path | None = None
    commands: Sequence[str] = ()
    repeat: Sequence[str] = ()
    title: str = "pancyte report"
    facts: dict[str, str] = field(default_factory=dict)


def compose(material: Material) -> Report:
    """Put together a report; the verdict of the benchmark comes first.

    Raises
    ------
    InputError
        If there is nothing to report on, or a column is missing.
    """
    adata, results, run = material.adata, material.results, material.run
    if adata is None and results is None and run is None:
        raise InputError("There is nothing to report on.", fix="Give cells, results or a run.")
    annotations = [] if adata is None else _after_reference(tl.history(adata))
    facts = dict(material.facts)
    if adata is not None:
        facts |= {"cells": f"{adata.n_obs:,}", "genes": f"{adata.n_vars:,}"}
    if annotations:
        facts |= _way(annotations[-1])
    truth = None if adata is None else _truth(adata, material.label_key)
    return Report(
        title=material.title,
        summary=_summary(annotations),
        verdicts=results.sentences() if results else (),
        facts=facts,
        scatters=[_scatter(adata, annotations, material)] if adata is not None else (),
        confusions=_confusions(adata, annotations, truth),
        calibrations=_calibrations(adata, annotations, truth),
        comparison=_comparison(results),
        pictures=_pictures(material),
        training=[Training("Pre-training loss", read_log(run))] if run else (),
        provenance=Provenance(
            commands=material.commands,
            repeat=material.repeat,
            versions=versions(),
            hashes=_hashes(annotations),
            settings={
                f"{entry['verb']} {number}": json.dumps(entry)
                for number, entry in enumerate([] if adata is None else tl.history(adata), 1)
            },
            found=[inspect(adata).line()] if adata is not None else (),
            warnings=_cautions(annotations),
        ),
    )


def _pictures(material: Material) -> list[Picture]:
    found: list[Picture] = []
    if material.adata is not None:
        found += pictures_of_cells(material.adata, material.label_key)
    if material.results is not None:
        found += pictures_of_results(material.results)
    return found


def _after_reference(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [entry for entry in history if entry["verb"] == "annotate" and "reference" in entry]


def _way(annotation: dict[str, Any]) -> dict[str, str]:
    if "chosen" in annotation:
        names = {"chosen": "labelled by", "why": "because", "laboratory": "laboratory"}
        facts = {said: annotation[name] for name, said in names.items() if name in annotation}
        asides = {
            "strangers": "strange cells",
            "wrong_labels": "reference's labels",
            "second_opinion": "second opinion",
        }
        found = {said: annotation.get(name) for name, said in asides.items()}
        return facts | {said: aside["told"] for said, aside in found.items() if aside}
    return {"model": annotation["model"]["name"], "method": annotation["method"]}


def _cautions(annotations: list[dict[str, Any]]) -> list[str]:
    """Only an annotation that was not calibrated, nor asked what is new, needs these."""
    return [NOT_CALIBRATED, CLOSED_WORLD] if annotations and "method" in annotations[-1] else []


def versions() -> dict[str, str]:
    """Versions of what made a result."""
    return {
        "pancyte": version("pancyte"),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "machine": f"{platform.system()} {platform.machine()}",
    }


def layout(vectors: np.ndarray) -> np.ndarray:
    """Lay vectors out in two dimensions by UMAP (McInnes et al., 2018), seeded. (cells, 2)."""
    import warnings

    import anndata as ad
    import scanpy as sc

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        placed = ad.AnnData(np.asarray(vectors, np.float32))
        sc.pp.neighbors(placed, use_rep="X", n_neighbors=15, random_state=0)
        sc.tl.umap(placed, random_state=0)
    return np.asarray(placed.obsm["X_umap"])


def _scatter(adata: AnnData, annotations: list[dict[str, Any]], material: Material) -> Scatter:
    from pancyte.corpus.cells import to_cells

    pca = registry.get("methods", "pca")()
    (baseline,) = pca.embed(to_cells(adata), batch_key=None, seed=0)
    maps = {}
    for key in [name for name in adata.obsm if name.startswith("X_")]:
        maps[key.removeprefix("X_").replace("_", "-")] = layout(adata.obsm[key])
    maps["HVG + PCA"] = layout(baseline)
    colourings = []
    if material.label_key:
        colourings.append(Colouring("label", adata.obs[material.label_key]))
    if annotations:
        key = annotations[-1]["key"]
        chances = adata.obs[f"{key}_probability"].to_numpy()
        colourings.append(Colouring("prediction", adata.obs[f"{key}_label"]))
        colourings.append(Colouring("confidence", chances, "continuous", limits=(0.0, 1.0)))
    if material.batch_key:
        colourings.append(Colouring("batch", _column(adata, material.batch_key)))
    if not colourings:
        depth = np.asarray(adata.X.sum(axis=1), dtype=float).ravel()
        colourings.append(Colouring("log10 total", np.log10(depth + 1), "continuous"))
    return Scatter("The cells", maps, colourings, cells=list(map(str, adata.obs_names)))


def _truth(adata: AnnData, label_key: str | None) -> np.ndarray | None:
    if label_key is None:
        return None
    labels = _column(adata, label_key)
    return np.where(labels.isna(), "", labels.astype(str)).astype(str)


def _column(adata: AnnData, key: str) -> Any:
    if key not in adata.obs:
        raise InputError(
            f"The cells have no obs column {key!r}.",
            fix=f"Their columns: {', '.join(map(str, adata.obs.columns))}.",
        )
    return adata.obs[key]


def _predicted(
    adata: AnnData, annotations: list[dict[str, Any]], truth: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True labels, predicted labels and probabilities of the cells that have a true label."""
    key, known = annotations[-1]["key"], truth != ""
    name = f"{key}_best" if f"{key}_best" in adata.obs else f"{key}_label"
    labels = adata.obs[name].astype(str).to_numpy()
    return truth[known], labels[known], adata.obs[f"{key}_probability"].to_numpy()[known]


def _confusions(
    adata: AnnData | None, annotations: list[dict[str, Any]], truth: np.ndarray | None
) -> list[Confusion]:
    if adata is None or truth is None or not annotations:
        return []
    true, predicted, _ = _predicted(adata, annotations, truth)
    return [Confusion.from_labels("True and predicted labels", true, predicted)]


def _calibrations(
    adata: AnnData | None, annotations: list[dict[str, Any]], truth: np.ndarray | None
) -> list[Calibration]:
    if adata is None or truth is None or not annotations:
        return []
    true, predicted, chances = _predicted(adata, annotations, truth)
    return [Calibration("Are the probabilities kept?", chances, true == predicted)]


def _comparison(results: Results | None) -> Comparison | None:
    if results is None:
        return None
    table = results.table
    metrics = {name: registry.get("metrics", name) for name in table["metric"].unique() if name}
    return Comparison(table, {name: (m.worst, m.best) for name, m in metrics.items()})


def _hashes(annotations: list[dict[str, Any]]) -> dict[str, str]:
    if not annotations:
        return {}
    last = annotations[-1]
    models = [last["model"]] if "model" in last else last["models"]
    return {
        **{f"model {model['name']}": model["sha256"] for model in models},
        "cells": last["cells"]["content_hash"],
        "reference": last["reference"]["content_hash"],
    }


def _summary(annotations: list[dict[str, Any]]) -> str:
    if not annotations:
        return ""
    last = annotations[-1]
    way = (
        last["chosen"]
        if "chosen" in last
        else f"{last['method']} on the frozen embedding of {last['model']['name']}"
    )
    return (
        f"{last['cells']['cells']:,} cells were labelled by {way}, from "
        f"{last['reference']['cells']:,} reference cells."
    )
