"""Cell types: label the cells of donors, studies or technologies never seen, by a reference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pancyte.corpus.cells import column
from pancyte.corpus.splits import hold_out_groups, leave_one_group_out, stratified_subsample
from pancyte.errors import InputError, UsageError
from pancyte.tasks.dataset import Dataset, Split
from pancyte.tasks.task import Arrays, Embeds, LabelProbabilities, Labels, Method, embedded

SUBSAMPLE = 0.8


class Annotation:
    """Transfer of cell types from a reference to cells of another donor, study or technology.

    Each fold holds out one group of ``Dataset.split_by`` (or the groups named, or a whole
    second dataset). Each seed learns from another 80 % of the reference, stratified by type,
    and seeds the method, so that the spread over seeds is real. Query cells without a label, or
    with a label the reference does not have, are asked about but not scored; how many is
    reported. An embedding becomes labels through both probes, a labelling method is taken as
    it is.
    """

    name = "annotation"
    accepts = (Embeds, Labels)

    def headline(self, dataset: Dataset) -> str:
        """Macro-F1: rare types count."""
        return "macro_f1"

    def metrics(self, dataset: Dataset) -> tuple[str, ...]:
        """Accuracy, macro-F1 and expected calibration error."""
        return ("accuracy", "macro_f1", "ece")

    def baselines(self, dataset: Dataset) -> tuple[str, ...]:
        """Majority, PCA, Harmony, L1 logistic regression, self-training, random weights."""
        return ("majority", "pca", "l1-logistic", "self-trained", "harmony", "random-weights")

    def splits(self, dataset: Dataset, seeds: Sequence[int]) -> Iterator[Split]:
        """Yield each fold once per seed."""
        labels = dataset.labels(dataset.cells)
        for fold, reference, query in _folds(dataset):
            known = reference[labels[reference] != ""]
            _check(dataset, fold, set(labels[known]), query)
            for seed in seeds:
                kept = stratified_subsample(labels[known], SUBSAMPLE, seed=seed)
                yield Split(dataset, known[kept], query, fold, seed)

    def run(self, method: Method, split: Split) -> dict[str, Arrays]:
        """Ask a method to label the query; one set of arrays per probe, or ``"direct"``."""
        scored = np.isin(split.query_labels, np.unique(split.reference_labels))
        truth = split.query_labels[scored]
        arrays: dict[str, dict[str, Any]] = {}
        for adaptation, answer in _answers(method, split):
            if len(answer.probabilities) != len(scored):
                raise InputError(
                    f"{method.name} labelled {len(answer.probabilities)} of {len(scored)} cells.",
                    fix="Return one row per query cell.",
                )
            arrays[adaptation] = {
                "y_true": truth,
                "y_pred": answer.labels[scored],
                "probabilities": answer.probabilities[scored],
            }
            if answer.answered is not None:
                arrays[adaptation]["answered"] = answer.answered[scored]
        return dict(arrays)


def _folds(dataset: Dataset) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    if dataset.query is not None:
        yield dataset.pair, np.arange(len(dataset.cells)), np.arange(len(dataset.query))
        return
    if dataset.split_by is None:
        raise UsageError(
            f"Annotation on {dataset.name} needs to know which cells to hold out.",
            fix="Give split_by, e.g. the donor or study column, or a query dataset.",
        )
    groups = column(dataset.cells, dataset.split_by)
    if dataset.held_out:
        reference, query = hold_out_groups(groups, dataset.held_out)
        if dataset.learn_from:
            reference = reference[np.isin(groups[reference], dataset.learn_from)]
        yield ", ".join(dataset.held_out), reference, query
        return
    yield from leave_one_group_out(groups)


def _check(dataset: Dataset, fold: str, known: set[str], query: np.ndarray) -> None:
    asked = set(dataset.labels(dataset.asked)[query]) - {""}
    if not known & asked:
        raise InputError(
            f"No cell type of the query ({fold}) is in the reference: {sorted(asked)[:5]} "
            f"against {sorted(known)[:5]}.",
            fix="Map the labels to common names (relabel, in a suite).",
        )


def _answers(method: Method, split: Split) -> Iterator[tuple[str, LabelProbabilities]]:
    from pancyte.adaptation.probe import KNNProbe, LogisticProbe

    dataset = split.dataset
    if isinstance(method, Labels):
        yield (
            "direct",
            method.label(
                split.reference,
                split.query,
                label_key=dataset.label_key,
                batch_key=dataset.batch_key,
                seed=split.seed,
            ),
        )
    if isinstance(method, Embeds):
        reference, query = embedded(
            method, split.reference, split.query, batch_key=dataset.batch_key, seed=split.seed
        )
        for name, probe in (("knn", KNNProbe()), ("logistic", LogisticProbe())):
            probe.fit(reference, split.reference_labels)
            yield name, LabelProbabilities(probe.classes_, probe.predict_proba(query))
