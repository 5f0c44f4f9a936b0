"""Labels for a query, with all that says how far to trust each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pancyte.corpus.cells import column
from pancyte.corpus.splits import stratified_subsample
from pancyte.deciding.choice import Choice, choose
from pancyte.deciding.conformal import (
    Kind,
    check_rate,
    label_p_values,
    label_sets,
    nonconformity,
    shares_as_strange,
    with_best,
)
from pancyte.deciding.folds import Folds, by_chance, make_folds
from pancyte.deciding.likeness import alike
from pancyte.deciding.novelty import COMBINED, VIEWS, Strangeness, novelty_p_values
from pancyte.deciding.quality import EMPTY, reasons
from pancyte.deciding.rehearsal import (
    Laboratory,
    compare,
    much_nearer,
    rehearsed,
    share_to_rehearse,
    told,
)
from pancyte.deciding.routes import SECOND, Route, in_columns
from pancyte.deciding.second import SecondOpinion, second_opinion
from pancyte.errors import UsageError
from pancyte.tasks.expression import shared_counts

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from pancyte.shapes import Cells

ENOUGH = 20_000
"""Reference cells that take part in choosing; all of them are learned from."""
STRANGE, MANY = 0.1, 0.4
"""A query of which this part has a novelty p-value below the first is said to be strange."""


@dataclass(frozen=True)
class Limits:
    """What the user tolerates.

    Attributes
    ----------
    alpha
        Error rate of the label sets: how often they may miss the true label.
    sets
        Kind of the sets; see `pancyte.deciding.conformal.nonconformity`.
    by_class
        Keep to `alpha` in each cell type rather than over all cells.
    novelty
        Cells whose novelty p-value is below this are not labelled; so many cells of known types
        are lost.
    """

    alpha: float = 0.1
    sets: Kind = "lac"
    by_class: bool = False
    novelty: float = 0.01

    def __post_init__(self) -> None:
        check_rate(self.alpha)
        if not 0 <= self.novelty < 1:
            raise UsageError(
                f"The novelty threshold is {self.novelty}.",
                fix="Give 0 or more, below 1, e.g. .01.",
            )


@dataclass(frozen=True)
class Decision:
    """What is known of each query cell.

    Attributes
    ----------
    classes
        The reference's labels, sorted.
    probabilities
        Calibrated, (cells, labels).
    sets
        Labels left for each cell, (cells, labels) bool, the most probable one among them.
    novelty
        P-value of being of a type the reference has, (cells,).
    embedding
        Principal components, fitted on the reference, (cells, at most 50).
    reasons
        Why a cell is not labelled: ``"novel"``, ``"ambiguous"``, ``"low quality"``, ``"empty"``,
        or ``""`` for a cell that is.
    second
        What another way says; None if there is none, or if it is the one that labels.
    """

    classes: np.ndarray
    probabilities: np.ndarray
    sets: np.ndarray
    novelty: np.ndarray
    embedding: np.ndarray
    reasons: np.ndarray
    second: SecondOpinion | None

    @property
    def best(self) -> np.ndarray:
        """The most probable label of each cell, whatever speaks against it."""
        return self.classes[self.probabilities.argmax(axis=1)]

    @property
    def trust(self) -> np.ndarray:
        """In which order labels are to be trusted: their probability, lower if they are doubted."""
        probability = self.probabilities.max(axis=1)
        return probability if self.second is None else self.second.trust(probability)

    def strangers(self) -> dict[str, Any] | None:
        """Say how many cells are stranger than nine of ten held-out ones, if far too many are."""
        real = self.reasons != EMPTY
        share = float(np.mean(self.novelty[real] < STRANGE)) if real.any() else 0.0
        if share < MANY:
            return None
        said = (
            f"{100 * share:.0f} % of the query's cells are stranger than nine of ten held-out "
            "cells: check that the reference is of this tissue and has its cell types, for a label "
            "is only the likeliest of those it has; or the two were measured very differently"
        )
        return {"share": round(share, 4), "told": said}

    @property
    def labels(self) -> np.ndarray:
        """The label, or ``"unassigned: …"`` with the reason."""
        unassigned = [f"unassigned: {reason}" for reason in self.reasons]
        return np.where(self.reasons == "", self.best, unassigned).astype(object)


class Decider:
    """Chooses among routes on a reference's own held-out donors, then labels a query.

    Parameters
    ----------
    routes
        What to try; at least one is a baseline.
    donor_key
        Column of donors; see `pancyte.deciding.folds.make_folds`.
    seed
        Seed of subsamples and methods.
    """

    def __init__(
        self, routes: Sequence[Route], *, donor_key: str | None = None, seed: int = 0
    ) -> None:
        self.routes = tuple(routes)
        self.donor_key = donor_key
        self.seed = seed
        self.choice: Choice
        self.folds: Folds
        self.batch_key: str | None
        self.tried: Cells
        self.without: dict[int, np.ndarray]

    def fit(self, reference: Cells, label_key: str, *, query: Cells) -> Decider:
        """Try every route on held-out donors of the reference, over the genes of the query.

        Where the query was measured more otherwise than they are, they are made like it first;
        see `pancyte.deciding.rehearsal`.

        Parameters
        ----------
        reference
            Labelled cells.
        label_key
            Column of their labels.
        query
            What is looked at are its genes, how otherwise than the reference it was measured, and,
            to find out what is new about it, its groups.

        Raises
        ------
        InputError
            If they share less than a fifth of the genes of the smaller one, or nothing can be held
            out.
        """
        self.reference, self.label_key = reference, label_key
        self.classes = np.unique(column(reference, label_key))
        shared = _measured(reference, query)
        rows = stratified_subsample(
            column(shared, label_key), min(1.0, ENOUGH / len(shared)), seed=self.seed
        )
        tried = shared.select(rows)
        labels = column(tried, label_key)
        self.tried = tried
        folds = self._deal(labels, query)
        self.batch_key = folds.key
        answers = {r.name: np.zeros((len(tried), len(self.classes))) for r in self.routes}
        strange, scored = np.zeros((len(tried), len(VIEWS))), np.zeros(len(tried), dtype=bool)
        self.share = self._rehearse()
        asked = rehearsed(tried, self.laboratory, self.share, seed=self.seed)
        for fold, learned in self.without.items():
            held = np.flatnonzero(folds.codes == fold)
            scored[held] = np.isin(labels[held], labels[learned])
            parts = tried.select(learned), asked.select(held)
            strange[held], _ = self._strangeness(*parts)
            for route in self.routes:
                answers[route.name][held] = self._ask(route, *parts)
        self.folds = replace(folds, codes=folds.codes[scored], groups=folds.groups[scored])
        self.left_out = int((~scored).sum())
        self.labels, self.strange = labels[scored], strange[scored]
        # a query of few cells tells less of which are alike: held-out ones are not told more
        some = max(1, int((query.counts.getnnz(axis=1) > 0).sum()))
        self.near = alike(asked.counts[scored], self.folds.codes, at_most=some, seed=self.seed)
        self.choice = choose(
            {name: given[scored] for name, given in answers.items()},
            [route.name for route in self.routes if route.baseline],
            self.classes,
            self.labels,
            self.folds,
            self.near,
            seed=self.seed,
        )
        return self

    def decide(self, query: Cells, limits: Limits) -> Decision:
        """Label a query by the chosen route, learned from the whole reference."""
        given = self.answers(query, self.choice.chosen.members)
        if SECOND not in given:
            # for comparison, the cells that took part in choosing are enough
            given |= self.answers(query, [SECOND], reference=self.tried)
        return self.conclude(query, given, limits)

    def conclude(self, query: Cells, given: Mapping[str, np.ndarray], limits: Limits) -> Decision:
        """Draw labels, sets, novelty and reasons from routes' answers, (cells, labels) each."""
        near = alike(query.counts, seed=self.seed)
        probabilities = self.choice.chosen.combine(given, near)
        strange, embedding = self._strangeness(self.reference, query)
        novelty = novelty_p_values(
            self.strange[:, COMBINED],
            strange[:, COMBINED],
            calibration_near=self.near,
            near=near,
        )
        second = self._second(query, given, near, probabilities)
        sets = shown(self.sets(query, probabilities, limits), probabilities, second)
        why = reasons(query, sets, novelty, level=limits.novelty)
        empty = why == EMPTY
        probabilities[empty], sets[empty], novelty[empty] = 0.0, False, 1.0
        return Decision(self.classes, probabilities, sets, novelty, embedding, why, second)

    def _second(
        self,
        query: Cells,
        given: Mapping[str, np.ndarray],
        near: csr_matrix,
        probabilities: np.ndarray,
    ) -> SecondOpinion | None:
        chosen = self.choice.chosen
        alone = next((trial for trial in self.choice.trials if trial.members == (SECOND,)), None)
        if alone is None or alone is chosen:
            return None
        return second_opinion(
            SECOND,
            self.classes,
            (chosen.probabilities, alone.probabilities),
            (probabilities, alone.combine(given, near)),
            real=query.counts.getnnz(axis=1) > 0,
        )

    def answers(
        self, query: Cells, names: Sequence[str], *, reference: Cells | None = None
    ) -> dict[str, np.ndarray]:
        """Ask routes, learned from the whole reference; (cells, classes) each, not calibrated."""
        known = self.reference if reference is None else reference
        return {r.name: self._ask(r, known, query) for r in self.routes if r.name in names}

    def sets(self, query: Cells, probabilities: np.ndarray, limits: Limits) -> np.ndarray:
        """List the labels left for each cell, (cells, labels); see `label_p_values`."""
        codes = np.searchsorted(self.classes, self.labels)
        known = self.choice.chosen.probabilities
        strange = nonconformity(known, kind=limits.sets)
        held_out = np.empty_like(strange)
        for fold in np.unique(self.folds.codes):
            rows = self.folds.codes == fold
            held_out[rows] = shares_as_strange(known[rows], strange[rows])
        asked = shares_as_strange(
            probabilities,
            nonconformity(probabilities, kind=limits.sets),
            counted=query.counts.getnnz(axis=1) > 0,
        )
        found = label_p_values(
            held_out, codes, asked, by_class=limits.by_class, wrong=self.choice.wrong
        )
        return label_sets(found, limits.alpha)

    def record(self) -> dict[str, Any]:
        """Say how the choice was made, for the history."""
        return {
            "chosen": self.choice.chosen.name,
            "why": self.choice.why,
            "shared": self.choice.chosen.shared,
            "held_out": self.folds.why,
            "held_out_key": self.folds.key,
            "held_out_cells": len(self.labels),
            "not_scored": self.left_out,
            "laboratory": told(self.laboratory, self.apart, self.share),
            "wrong_labels": self.choice.doubt(),
            "cross_validation": self.choice.table(),
        }

    def _deal(self, labels: np.ndarray, query: Cells) -> Folds:
        """Choose who is held out, and see how far they and the query are from what is learned."""
        self.laboratory = self._compare(self.tried, query)
        folds = make_folds(
            self.tried, labels, donor_key=self.donor_key, query=query, seed=self.seed
        )
        self._leave_out(folds, labels)
        if folds.stand_in and much_nearer(self.laboratory, self.apart):
            because = (
                f"groups of {folds.key!r} are at least twice as far from each other as the query "
                "is from the reference"
            )
            folds = by_chance(labels, because, seed=self.seed)
            self._leave_out(folds, labels)
        return folds

    def _leave_out(self, folds: Folds, labels: np.ndarray) -> None:
        self.without = {
            fold: learned
            for fold in np.unique(folds.codes).tolist()
            if len(np.unique(labels[learned := np.flatnonzero(folds.codes != fold)])) > 1
        }
        self.apart = [
            self._compare(
                self.tried.select(learned), self.tried.select(np.flatnonzero(folds.codes == fold))
            )
            for fold, learned in self.without.items()
        ]

    def _compare(self, known: Cells, asked: Cells) -> Laboratory:
        return compare(known, asked, label_key=self.label_key, seed=self.seed)

    def _rehearse(self) -> float:
        """Say by how much of the query's effects held-out cells are to be changed."""
        return share_to_rehearse(self.laboratory, self.apart)

    def _ask(self, route: Route, reference: Cells, query: Cells) -> np.ndarray:
        answer = route.label(
            reference, query, label_key=self.label_key, batch_key=self.batch_key, seed=self.seed
        )
        return in_columns(answer, self.classes)

    def _strangeness(self, reference: Cells, query: Cells) -> tuple[np.ndarray, np.ndarray]:
        fitted = Strangeness(reference, query).fit(column(reference, self.label_key))
        return fitted.scores(), fitted.embed()


def shown(sets: np.ndarray, probabilities: np.ndarray, second: SecondOpinion | None) -> np.ndarray:
    """Add to label sets what always stays, (cells, labels): the best, and a doubt about it."""
    kept = with_best(sets, probabilities)
    return kept if second is None else second.stays(kept)


def _measured(reference: Cells, query: Cells) -> Cells:
    """Leave out genes that the query does not have, as they will be left out when it is asked."""
    _, columns = shared_counts(reference, query)
    if len(columns) == len(reference.features):
        return reference
    return replace(
        reference,
        counts=reference.counts[:, columns],
        features=reference.features.iloc[columns],
    )
