"""Which way to label is best on donors it has not seen, and whether a model earns its place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from pancyte.deciding.calibration import at_temperature, fit_temperature, wrong_labels
from pancyte.deciding.likeness import averaged
from pancyte.errors import InputError
from pancyte.metrics.classification import accuracy, ece, macro_f1

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from pancyte.deciding.folds import Folds

REPLICATES = 200
CLEARLY = 2.0
"""Standard errors by which one way alone has to be better than an average."""
MANY_WRONG = 0.06
"""Wrong labels are reckoned with if their share is above this by two standard errors. What looks
like it in references as published, where it is methods' errors, is less (``docs/lab-notes.md``)."""
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Weights that are tried for the answers to cells alike, beside the answer to the cell itself."""


@dataclass(frozen=True)
class Trial:
    """How one way to label did on held-out donors.

    Attributes
    ----------
    name
        The route, or ``"average of …"``.
    members
        The routes whose calibrated probabilities it averages; one for a route itself.
    baseline
        Whether no model takes part.
    temperatures
        Of each member, and of what is made of them.
    shared
        Weight of the answers to cells that are alike, beside the answer to the cell itself: the
        one of `SHARES` for which labels are likeliest.
    probabilities
        Calibrated, of the scored held-out cells, (cells, classes).
    macro_f1, accuracy, ece
        On these cells, each fold weighing alike; the last as fitted on them, so a little low.
    behind
        By how much its macro-F1 is below that of the baselines' choice; negative if it is above.
    noise
        Standard error of that difference, by drawing donors and by drawing cells anew, the
        larger of the two.
    """

    name: str
    members: tuple[str, ...]
    baseline: bool
    temperatures: tuple[float, ...]
    shared: float
    probabilities: np.ndarray
    macro_f1: float
    accuracy: float
    ece: float
    behind: float = 0.0
    noise: float = 0.0

    def combine(self, answers: Mapping[str, np.ndarray], near: csr_matrix) -> np.ndarray:
        """Turn its members' probabilities for other cells into calibrated ones.

        `near` is how alike these cells are, as `pancyte.deciding.likeness.alike` gives it.
        """
        *each, last = self.temperatures
        mean = _tempered_mean(self.members, each, answers)
        return at_temperature(averaged(mean, near, self.shared), last)


@dataclass(frozen=True)
class Choice:
    """All trials, the one chosen, and why.

    `wrong` is the share of the held-out cells' labels that seem to be wrong, 0 if they are few.
    """

    trials: tuple[Trial, ...]
    chosen: Trial
    why: str
    wrong: float = 0.0

    def doubt(self) -> dict[str, object] | None:
        """Say of how many of the reference's labels it seems that they are wrong, if of many."""
        if not self.wrong:
            return None
        said = (
            f"as many as {100 * self.wrong:.0f} % of the reference's labels look wrong: that many "
            "held-out cells have another one where labels are surest, too; probabilities and sets "
            "reckon with it, but check those labels"
        )
        return {"share": round(self.wrong, 4), "told": said}

    def table(self) -> list[dict[str, object]]:
        """One row for each trial, best first."""
        rows = sorted(self.trials, key=lambda trial: -trial.macro_f1)
        numbers = ("macro_f1", "accuracy", "ece", "behind", "noise", "shared")
        return [
            {"route": t.name, "baseline": t.baseline, "chosen": t is self.chosen}
            | {name: round(float(getattr(t, name)), 4) for name in numbers}
            for t in rows
        ]


def choose(
    answers: Mapping[str, np.ndarray],
    baselines: Sequence[str],
    classes: np.ndarray,
    labels: np.ndarray,
    folds: Folds,
    near: csr_matrix,
    *,
    seed: int = 0,
) -> Choice:
    """Choose among routes by their answers on held-out donors: no regret over the baselines.

    What is ahead by chance on held-out cells is not on others. So of the baselines an average of
    the first with one other is taken, the best of these by macro-F1; a single one only if it is
    better than that by more than two standard errors of the difference. What has a model in it
    replaces the best of the baselines if it is better by more than one (the rule of Breiman et al.
    1984, *Classification and regression trees*, ch. 3). How much the answers to cells that are
    alike count is found for each by the likelihood of the held-out labels, with the temperature.

    Parameters
    ----------
    answers
        Held-out probabilities by route, (cells, classes) each; all of the same cells.
    baselines
        Names of those routes that are simple methods; the first is the one that averages have in
        common.
    classes
        The labels, sorted.
    labels
        True label of each cell, (cells,).
    folds
        Who was held out with whom, of these cells.
    near
        How alike these cells are to those held out with them, (cells, cells).
    seed
        Seed of the replicates.

    Raises
    ------
    InputError
        If there is no baseline, or no cell to score.
    """
    if not baselines or not len(labels):
        raise InputError(
            f"There are {len(labels)} held-out cells with a label that was also learned, and "
            f"{len(baselines)} baselines.",
            fix="Give more donors of each cell type.",
        )
    judge = _Judge(classes, labels, folds, near, seed, answers[baselines[0]])
    singles = [judge.trial((name,), answers, name in baselines) for name in answers]
    simple = [trial for trial in singles if trial.baseline]
    first, *others = baselines
    simple += [judge.trial((first, other), answers, True) for other in others]
    standing = _hedged(simple, judge)
    models = _ranked(trial for trial in singles if not trial.baseline)
    if models:
        together = tuple(dict.fromkeys((*standing.members, *models[0].members)))
        models.append(judge.trial(together, answers, False))
    trials = tuple(judge.against(standing, trial) for trial in (*simple, *models))
    standing = next(trial for trial in trials if trial.name == standing.name)
    winners = [trial for trial in trials if not trial.baseline and -trial.behind > trial.noise]
    chosen = _hedged(winners, judge) if winners else standing
    return Choice(trials, chosen, _why(chosen, standing, trials), judge.wrong)


def _hedged(trials: Sequence[Trial], judge: _Judge) -> Trial:
    """Take the best average, unless one way alone is clearly better."""
    ranked = _ranked(trials)
    for average in ranked:
        if len(average.members) > 1:
            beside = judge.against(ranked[0], average)
            return average if beside.behind <= CLEARLY * beside.noise else ranked[0]
    return ranked[0]


def _ranked(trials: Iterable[Trial]) -> list[Trial]:
    return sorted(trials, key=lambda trial: -trial.macro_f1)


def _why(chosen: Trial, standing: Trial, trials: Sequence[Trial]) -> str:
    models = _ranked(trial for trial in trials if not trial.baseline)
    simple = [trial for trial in trials if trial.baseline]
    said = f"{chosen.name}: macro-F1 {chosen.macro_f1:.3f} on held-out cells"
    if chosen is not standing:
        return (
            f"{said}, {-chosen.behind:.3f} above the best of the baselines, {standing.name}, which "
            f"is more than one standard error ({chosen.noise:.3f})"
        )
    if models:
        return (
            f"{said}; {models[0].name} has {models[0].macro_f1:.3f}, not more than one standard "
            f"error ({models[0].noise:.3f}) above it, so the baseline stands"
        )
    if len(chosen.members) > 1:
        alone = _ranked(trial for trial in simple if len(trial.members) == 1)[0]
        return (
            f"{said}, the best average of baselines; the best one alone, {alone.name}, has "
            f"{alone.macro_f1:.3f}, not more than two standard errors ({alone.noise:.3f}) above it"
        )
    if len(simple) > 1:
        return f"{said}, clearly better than any average of baselines"
    return f"{said}, the only baseline"


class _Judge:
    """Scores trials on the same cells, with each fold weighing alike, and on redrawn donors."""

    def __init__(
        self,
        classes: np.ndarray,
        labels: np.ndarray,
        folds: Folds,
        near: csr_matrix,
        seed: int,
        first: np.ndarray,
    ) -> None:
        self.classes, self.labels, self.near = classes, labels, near
        self.codes = np.searchsorted(classes, labels)
        wrong = wrong_labels(first, self.codes)
        error = np.sqrt(wrong * (1 - wrong) / len(labels))
        self.wrong = wrong if wrong - 2 * error > MANY_WRONG else 0.0
        _, fold, sizes = np.unique(folds.codes, return_inverse=True, return_counts=True)
        self.even = _adding_up((1 / sizes)[fold][None])
        rng = np.random.default_rng(seed)
        _, donor = np.unique(folds.groups, return_inverse=True)
        drawn = [_draws(rng, donor.max() + 1)[:, donor], _draws(rng, len(labels))]
        self.redrawn = [_adding_up(weights * self.even) for weights in drawn]

    def trial(
        self, members: tuple[str, ...], answers: Mapping[str, np.ndarray], baseline: bool
    ) -> Trial:
        each = [self.temperature(answers[name])[0] for name in members]
        mean = _tempered_mean(members, each, answers)
        tried = []
        for share in SHARES:
            shared = averaged(mean, self.near, share)
            last, loss = self.temperature(shared)
            tried.append((loss, share, last, shared))
        _, share, last, shared = min(tried, key=lambda one: one[:2])
        probabilities = at_temperature(shared, last)
        arrays = self.arrays(probabilities)
        name = members[0] if len(members) == 1 else f"average of {', '.join(members)}"
        scores = (metric.resampled(arrays, [self.even])[0] for metric in (macro_f1, accuracy, ece))
        temperatures = (*each, last)
        return Trial(
            name, members, baseline, temperatures, share, probabilities, *map(float, scores)
        )

    def temperature(self, probabilities: np.ndarray) -> tuple[float, float]:
        # each fold weighs alike: the query is one study (donor) more, whatever its size
        weights = self.even[0]
        return fit_temperature(probabilities, self.codes, weights=weights, wrong=self.wrong)

    def arrays(self, probabilities: np.ndarray) -> dict[str, np.ndarray]:
        answer = self.classes[probabilities.argmax(axis=1)]
        return {"y_true": self.labels, "y_pred": answer, "probabilities": probabilities}

    def against(self, best: Trial, trial: Trial) -> Trial:
        gaps = [
            macro_f1.resampled(self.arrays(best.probabilities), [weights])
            - macro_f1.resampled(self.arrays(trial.probabilities), [weights])
            for weights in self.redrawn
        ]
        noise = max(float(gap.std()) for gap in gaps)
        return replace(trial, behind=best.macro_f1 - trial.macro_f1, noise=noise)


def _tempered_mean(
    members: Sequence[str], temperatures: Sequence[float], answers: Mapping[str, np.ndarray]
) -> np.ndarray:
    given = zip(members, temperatures, strict=True)
    return np.mean([at_temperature(answers[name], T) for name, T in given], axis=0)


def _draws(rng: np.random.Generator, items: int) -> np.ndarray:
    return rng.multinomial(items, np.full(items, 1 / items), size=REPLICATES).astype(float)


def _adding_up(weights: np.ndarray) -> np.ndarray:
    return weights * weights.shape[1] / weights.sum(axis=1, keepdims=True)
