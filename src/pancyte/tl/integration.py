"""Integrate batches, and say what that did to biology as well as to the batches."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from pancyte import registry
from pancyte.corpus.cells import column, to_cells
from pancyte.corpus.checks import require_batches
from pancyte.corpus.notices import tell
from pancyte.errors import UsageError
from pancyte.tl.provenance import facts_of_cells, facts_of_model, loaded, record

if TYPE_CHECKING:
    from anndata import AnnData

    from pancyte.deciding.integration import Evidence
    from pancyte.models.model import Model
    from pancyte.shapes import Cells

TRIED = ("pca", "harmony", "combat", "matched", "standardised")
ZERO_SHOT = "zero-shot"


def integrate(
    adata: AnnData,
    *,
    batch_key: str,
    method: str | Sequence[str] = "auto",
    model: Model | str | None = None,
    label_key: str | None = None,
    key_added: str = "X_integrated",
    seed: int = 0,
    copy: bool = False,
) -> AnnData | None:
    """Bring batches together, with the evidence of what that did to biology and to the batches.

    Parameters
    ----------
    adata
        Cells with raw counts somewhere in X, a layer or raw.
    batch_key
        Column of ``.obs`` with the technical batch.
    method
        A registered method (``pancyte list methods``), ``"zero-shot"`` for a model's embedding as
        it is, several of them, or ``"auto"``: principal components alone, Harmony, ComBat, a rigid
        motion (``"matched"``) and a scale (``"standardised"``) for each batch, Scanorama if it is
        installed, and with a model its embedding, as it is and moved. Of several the best that
        does not over-correct is kept.
    model
        For ``"zero-shot"``; ``"matched"`` and ``"standardised"`` then work on its embedding.
    label_key
        Column with cell types, if known: they judge the result, and only ``"scanvi"`` reads them.
    key_added
        Where in ``.obsm``.
    seed
        Of the methods and of the draws of cells that are scored.
    copy
        Return a changed copy instead of writing into `adata`.

    Returns
    -------
    The copy, or None. ``.obsm[key_added]`` is (cells, width) float32; the history has the
    evidence for each method tried, always beside no integration.

    Raises
    ------
    InputError
        If there is nothing to integrate, or with labels none of which occurs in two batches.
    UsageError
        If a method is not known, or needs a model or labels that are not given.
    """
    from pancyte.deciding.integration import choose, weigh

    adata = adata.copy() if copy else adata
    require_batches(adata.obs, batch_key)
    cells = to_cells(adata)
    batches = column(cells, batch_key)
    labels = None if label_key is None else column(cells, label_key)
    one = None if model is None else loaded(model)
    asked = _asked(method, one, label_key)
    embeddings = _embedded(asked, cells, batch_key, seed)
    found = weigh(embeddings, embeddings["pca"], batches, labels, seed=seed)
    wanted = {asked[name].name for name in asked if name != "pca" or "pca" in _names(method)}
    able = [e for e in found if e.method in wanted or method == "auto"]
    able = [e for e in able if not getattr(_by_name(asked, e.method), "sees_labels", False)] or able
    chosen, why = (able[0], "asked for") if len(able) == 1 else choose(able)
    warnings = _warnings(chosen, labels, batches)
    _say(found, chosen, why, warnings)
    adata.obsm[key_added] = embeddings[chosen.method].astype(np.float32)
    record(
        adata,
        "integrate",
        method=chosen.method,
        why=why,
        evidence=[e.row() for e in found],
        warnings=warnings,
        judged_by="scIB" if labels is not None else "clusters of each batch",
        batch_key=batch_key,
        label_key=label_key,
        key=key_added,
        cells=facts_of_cells(cells),
        model=None if one is None else facts_of_model(one),
        seed=seed,
    )
    return adata if copy else None


def _names(method: str | Sequence[str]) -> list[str]:
    return [method] if isinstance(method, str) else list(method)


def _asked(
    method: str | Sequence[str], model: Model | None, label_key: str | None
) -> dict[str, Any]:
    """Make every method asked for, and principal components to hold them against."""
    from pancyte.tasks.frozen import FrozenModel

    names = _names(method)
    if names == ["auto"]:
        names = [*TRIED, *(["scanorama"] if find_spec("scanorama") else [])]
        names += [ZERO_SHOT] if model is not None else []
    frozen = None if model is None else FrozenModel(model)
    made: dict[str, Any] = {"pca": registry.get("methods", "pca")()}
    for name in names:
        if name == ZERO_SHOT:
            if frozen is None:
                raise UsageError("zero-shot needs a model.", fix="Give model=.")
            made[name] = frozen
            continue
        kind = registry.get("methods", name)
        if getattr(kind, "tunes", False):
            if model is None:
                raise UsageError(f"{name} tunes a model.", fix="Give model=.")
            made[name] = kind(model)
            continue
        if not hasattr(kind, "embed") or getattr(kind, "needs_model", False):
            raise UsageError(
                f"{name!r} does not integrate cells.",
                fix="Use harmony, combat, matched, standardised, scanorama, scvi, scanvi, "
                "adversarial or auto.",
            )
        if getattr(kind, "sees_labels", False):
            if label_key is None:
                raise UsageError(f"{name} needs labels.", fix="Give label_key=.")
            made[name] = kind(label_key)
        elif getattr(kind, "corrects", False) and frozen is not None:
            made[f"{name} on model"] = kind(frozen)
            if method == "auto":
                made[name] = kind()
        else:
            made[name] = kind()
    return made


def _by_name(asked: dict[str, Any], name: str) -> Any:
    return next(method for method in asked.values() if method.name == name)


def _embedded(
    asked: dict[str, Any], cells: Cells, batch_key: str, seed: int
) -> dict[str, np.ndarray]:
    from pancyte.tasks.task import embedded

    return {
        method.name: embedded(method, cells, batch_key=batch_key, seed=seed)[0]
        for method in asked.values()
    }


def _warnings(chosen: Evidence, labels: np.ndarray | None, batches: np.ndarray) -> list[str]:
    lines = []
    if labels is not None:
        named = np.unique(labels[labels != ""])
        alone = [str(n) for n in named if len(np.unique(batches[labels == n])) == 1]
        if alone:
            lines.append(
                f"{len(alone)} of {len(named)} cell types are in one batch only "
                f"({', '.join(alone)}): there, batch and biology cannot be told apart"
            )
    if chosen.overcorrected:
        lines.append(
            "over-corrected, cells of one batch's own type now lie among others: "
            + "; ".join(map(str, chosen.overcorrected))
        )
    rest = [loss for loss in chosen.lost if len(loss.batches) > 1]
    if rest:
        lines.append("mixed with other types: " + "; ".join(map(str, rest)))
    return lines


def _say(found: list[Evidence], chosen: Evidence, why: str, warnings: list[str]) -> None:
    tell(f"{'':24} biology    batch    total")
    for one in sorted(found, key=lambda one: -one.total.mean()):
        mark = "→ " if one is chosen else "  "
        over = "  over-corrected" if one.overcorrected else ""
        tell(
            f"{mark}{one.method:22} {one.biology.mean():7.3f}  {one.batch.mean():7.3f}  "
            f"{one.total.mean():7.3f}{over}"
        )
    tell(why, *(f"warning: {line}" for line in warnings))
