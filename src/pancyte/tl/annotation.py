"""Label cells, and say of each how sure the label is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

import numpy as np

from pancyte.corpus.cells import to_cells
from pancyte.corpus.notices import tell
from pancyte.errors import InputError, UsageError
from pancyte.tl.frozen import annotate_frozen
from pancyte.tl.provenance import facts_of_cells, facts_of_model, loaded, record

if TYPE_CHECKING:
    from anndata import AnnData

    from pancyte.deciding.decision import Limits
    from pancyte.models.model import Model
    from pancyte.shapes import Cells

CHECKED = 200
"""Cells whose genes are held against a model's."""
Models = "Model | str | Sequence[Model | str]"


class Options(TypedDict, total=False):
    """Further options of `annotate`; its docstring explains them."""

    method: Literal["logistic", "knn"] | None
    donor_key: str | None
    alpha: float
    sets: Literal["lac", "aps", "raps"]
    by_class: bool
    novelty: float
    ontology: str | Path | Literal[False] | None
    ontology_key: str | None
    seed: int


def annotate(
    adata: AnnData,
    *,
    reference: AnnData | None = None,
    label_key: str | None = None,
    model: Model | str | Sequence[Model | str] | None = None,
    markers: Mapping[str, Sequence[str]] | str | Path | None = None,
    key_added: str = "pancyte",
    copy: bool = False,
    **options: Unpack[Options],
) -> AnnData | None:
    """Label cells after a labelled reference or marker genes, and say how sure each label is.

    With a reference, several ways to label are tried on its own donors, each held out in turn:
    L1 and L2 logistic regression on genes, nearest neighbours and logistic regression on
    principal components, nearest profiles once the laboratory's share in each gene is undone,
    regression that also learns from the query's surest cells, averages of the last with each
    other, and the same two on the frozen embedding of each model given. A model is used only if
    it beats the best of the simple ways by more than one standard error. How much the answers to
    those cells of the query that are most like a cell count beside its own is found with that.
    The held-out answers also calibrate the probabilities, the label sets and the novelty
    p-values. If the query was measured more otherwise than the held-out cells are, these are
    first made like it. Where L1 regression agrees with a label less often than it does on
    held-out cells, the label is named as doubtful. With markers there is nothing to calibrate
    on, and only a score.

    Parameters
    ----------
    adata
        The cells to label; raw counts.
    reference
        Labelled cells; raw counts.
    label_key
        Column of ``reference.obs`` with the labels; cells without one are left out.
    model
        One or several models to try, loaded or as `pancyte.load` takes them.
    markers
        Instead of a reference: ``{cell type: genes}``, or a GMT file.
    key_added
        Prefix of everything that is added.
    copy
        Return a changed copy instead of writing into `adata`.

    Other Parameters
    ----------------
    method : {'logistic', 'knn'}, optional
        Use one model with this probe, without trying or calibrating anything: only ``_label`` and
        the probe's own ``_probability`` are added.
    donor_key : str, optional
        Column of ``reference.obs`` whose groups are held out: name the one in which the query is
        new. Found if not given: studies if the query is from none of the reference's, else
        donors, else samples or batches unless they are all at least twice as far from each other
        as the query is from them, else cells are dealt out by chance, which is told.
    alpha : float, default .1
        How often a label set may miss the true label.
    sets : {'lac', 'aps', 'raps'}, default 'lac'
        Kind of sets; see `pancyte.deciding.conformal.nonconformity`.
    by_class : bool, default False
        Keep to `alpha` within each cell type; sets get larger for rare types.
    novelty : float, default .01
        Cells with a smaller novelty p-value are not labelled.
    ontology : str or Path or False, optional
        Another Cell Ontology than the one that is shipped; False for none.
    ontology_key : str, optional
        Column of ``reference.obs`` with Cell Ontology ids; found by its usual names if not
        given. Labels without an id are looked up by name and synonym.
    seed : int, default 0
        Seed of everything random.

    Returns
    -------
    The copy, or None. Added to ``.obs``, with ``key_added`` in front:

    - ``_label``: the label, or ``"unassigned: novel"``, ``"unassigned: ambiguous"`` (more than
      one label is left), ``"unassigned: low quality"`` (one of these, and far fewer genes than
      other cells), ``"unassigned: empty"``;
    - ``_best``: the most probable label, whatever speaks against it, and ``_probability``, the
      calibrated chance that it is right if the cell is of a type the reference has;
    - ``_trust``: the same, but where a second opinion agrees with a label less often than it does
      on held-out cells, the second opinion's probability if that is lower: the surest cells are
      those with the highest trust;
    - ``_set`` and ``_set_size``: all labels left, which hold the true one with a chance of
      1 - alpha for cells of donors like the held-out ones;
    - ``_novelty``: share of held-out cells of known types at least as strange as this cell, each
      judged with the cells that are like it;
    - ``_ontology_id``, ``_ontology_label``, ``_ontology_probability``: the narrowest Cell Ontology
      term above all labels left, empty where they share nothing that says something;
    - ``_cluster``, ``_cluster_label``, ``_cluster_margin``: Leiden cluster, what most of its cells
      are labelled if the first label leads by a fifth of them, and by how much it leads.

    ``.obsm[key_added]`` holds all calibrated probabilities, in the order of ``classes`` in
    the history, and ``.obsm["X_<key_added>_pca"]`` the components of the clusters.
    `pancyte.tl.history` gives the table of the trials, the choice and why.

    With markers: ``_label``, ``_best``, ``_score`` (standard deviations above the average cell),
    ``_p_value`` (of the markers' detection) and the cluster columns.

    Raises
    ------
    UsageError
        If it is not clear what to label by.
    InputError
        If the reference or the markers cannot be used; says why.
    """
    if (reference is None) == (markers is None):
        raise UsageError(
            "Cells are labelled after a reference or after markers, and "
            f"{'neither' if reference is None else 'both'} were given.",
            fix="Give reference= and label_key=, or markers=.",
        )
    adata = adata.copy() if copy else adata
    if reference is None:
        _by_markers(adata, markers, key_added)
        return adata if copy else None
    if label_key is None:
        raise UsageError("label_key was not given.", fix="Name the reference's label column.")
    named = require_labels(reference, label_key)
    query, known = to_cells(adata), to_cells(reference, name="the reference").select(named)
    models = _models(model)
    for one in models:
        # other genes or another species are said of the model before anything is tried
        one.tokenizer(query.select(np.arange(min(CHECKED, len(query)))))
    method = options.pop("method", None)
    if method is not None:
        annotate_frozen(
            adata, query, known, label_key=label_key, models=models, method=method, key=key_added
        )
    else:
        _by_trial(adata, query, known, label_key, models, key_added, options)
    return adata if copy else None


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


def _models(given: Any) -> list[Model]:
    if given is None:
        return []
    many = isinstance(given, Iterable) and not isinstance(given, str)
    return [loaded(model) for model in (given if many else [given])]


def _limits(options: Options) -> Limits:
    from pancyte.deciding.decision import Limits

    known = {item.name for item in fields(Limits)}
    given: dict[str, Any] = {name: value for name, value in options.items() if name in known}
    return Limits(**given)


def _by_trial(
    adata: AnnData,
    query: Cells,
    known: Cells,
    label_key: str,
    models: list[Model],
    key: str,
    options: Options,
) -> None:
    from pancyte.deciding.decision import Decider
    from pancyte.deciding.routes import routes
    from pancyte.tl.columns import add_clusters, add_decision, add_ontology

    unknown = options.keys() - Options.__annotations__.keys()
    if unknown:
        raise UsageError(
            f"annotate has no option {', '.join(sorted(unknown))}.",
            fix=f"Its options: {', '.join(sorted(Options.__annotations__))}.",
        )
    limits = _limits(options)
    decider = Decider(
        routes(models), donor_key=options.get("donor_key"), seed=options.get("seed", 0)
    ).fit(known, label_key, query=query)
    how = decider.record()
    tell(how["why"], f"chosen {how['held_out']}", how["laboratory"])
    if how["wrong_labels"]:
        tell(how["wrong_labels"]["told"])
    decision = decider.decide(query, limits)
    second, strangers = decision.second, decision.strangers()
    if strangers:
        tell(strangers["told"])
    if second is not None and second.doubtful.any():
        tell(second.told())
    add_decision(adata, decision, key)
    terms = add_ontology(
        adata, decision, known, key, label_key=label_key,
        path=options.get("ontology"), id_key=options.get("ontology_key"),
    )  # fmt: skip
    add_clusters(adata, decision.embedding, decision.best, decision.reasons, key)
    record(
        adata,
        "annotate",
        models=[facts_of_model(model) for model in models],
        cells=facts_of_cells(query),
        reference=facts_of_cells(known),
        key=key,
        label_key=label_key,
        classes=decision.classes.tolist(),
        ontology=terms,
        limits={item.name: getattr(limits, item.name) for item in fields(limits)},
        seed=decider.seed,
        second_opinion=None if second is None else second.record(),
        strangers=strangers,
        **how,
    )


def _by_markers(adata: AnnData, markers: Any, key: str) -> None:
    from pancyte.deciding.markers import decide_by_markers, read_markers
    from pancyte.tl.columns import add_clusters, add_marker_decision

    sets = read_markers(markers)
    query = to_cells(adata)
    decision = decide_by_markers(query, sets)
    add_marker_decision(adata, decision, key)
    add_clusters(adata, decision.embedding, decision.best, decision.reasons, key)
    record(
        adata,
        "annotate",
        cells=facts_of_cells(query),
        key=key,
        classes=decision.classes.tolist(),
        markers={name: sets[name] for name in decision.classes.tolist()},
        without_markers=sorted(set(sets) - set(decision.classes.tolist())),
    )
