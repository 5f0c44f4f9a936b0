"""Every method against the best baseline, metric by metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pancyte.benchmark.statistics import Comparison, nested_bootstrap, paired_t
from pancyte.benchmark.trial import Trial
from pancyte.metrics.metric import Metric

Run = tuple[str, int]
"""A fold and a seed."""

JUDGED = (
    "baseline",
    "model_value",
    "baseline_value",
    "difference",
    "low",
    "high",
    "winner",
    "sentence",
)


@dataclass
class Entrant:
    """A method with one adaptation, and its trials by fold and seed."""

    method: str
    adaptation: str
    baseline: bool
    trials: dict[Run, Trial] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name for people; the adaptation is left out where there is no choice of it."""
        plain = self.adaptation in ("", "direct", "zero-shot")
        return self.method if plain else f"{self.method} ({self.adaptation})"

    def finished(self, runs: set[Run], metric: Metric) -> int:
        """How many of `runs` gave a score."""
        return sum(run in self.trials and metric.name in self.trials[run].scores for run in runs)

    def mean(self, metric: Metric) -> float:
        """Mean score over folds and seeds."""
        return float(np.mean([trial.scores[metric.name] for trial in self.trials.values()]))


def entrants(trials: Sequence[Trial]) -> list[Entrant]:
    """Sort trials by method and adaptation; a method that never answered is an entrant too."""
    found: dict[tuple[str, str], Entrant] = {}
    answered = {trial.method for trial in trials if trial.adaptation}
    for trial in trials:
        if trial.adaptation or trial.method not in answered:
            key = (trial.method, trial.adaptation)
            entrant = found.setdefault(key, Entrant(*key, baseline=trial.baseline))
            entrant.trials[trial.fold, trial.seed] = trial
    return list(found.values())


def verdicts(
    trials: Sequence[Trial], metrics: Sequence[Metric], headline: str
) -> list[dict[str, Any]]:
    """Compare each method under test with the best baseline, on each metric.

    The best baseline is the one with the best mean over the very scores it is then compared on.
    That favours baselines, on purpose: a model is worth its cost if it beats whichever simple
    method one would have picked with hindsight.

    Returns
    -------
    One record per method, adaptation and metric, with a sentence.
    """
    runs = {(trial.fold, trial.seed) for trial in trials}
    field_ = entrants(trials)
    records = []
    for metric in metrics:
        complete = [e for e in field_ if e.baseline and e.finished(runs, metric) == len(runs)]
        rival = max(complete, key=lambda e: metric.sign * e.mean(metric), default=None)
        for entrant in field_:
            if not entrant.baseline:
                named: dict[str, Any] = {"method": entrant.method, "adaptation": entrant.adaptation}
                named |= {"metric": metric.name, "headline": metric.name == headline}
                records.append(named | _judged(entrant, rival, runs, metric))
    return records


def _judged(
    entrant: Entrant, rival: Entrant | None, runs: set[Run], metric: Metric
) -> dict[str, Any]:
    failed = len(runs) - entrant.finished(runs, metric)
    if failed:
        why = f"{entrant.name} failed in {failed} of {len(runs)} runs"
    elif rival is None:
        why = "no baseline finished all runs"
    else:
        compared = compare(entrant, rival, metric)
        return {name: getattr(compared, name) for name in JUDGED}
    return {"winner": "failed", "sentence": f"no verdict on {metric.name}: {why}"}


def compare(model: Entrant, baseline: Entrant, metric: Metric) -> Comparison:
    """Compare two methods that were asked the same questions.

    The difference is the mean over folds and seeds. Its interval comes from a nested bootstrap
    over folds, seeds and cells where the metric is a sum over cells, else from the spread over
    runs (paired t).
    """
    runs = list(model.trials)
    pairs = [(model.trials[run], baseline.trials[run]) for run in runs]
    name = metric.name
    differences = np.array([metric.sign * (a.scores[name] - b.scores[name]) for a, b in pairs])
    if all(name in trial.replicates for pair in pairs for trial in pair):
        folds: dict[str, list[np.ndarray]] = {}
        for (fold, _), (a, b) in zip(runs, pairs, strict=True):
            resampled = metric.sign * (a.replicates[name] - b.replicates[name])
            folds.setdefault(fold, []).append(resampled)
        low, high = nested_bootstrap([np.stack(seeds) for seeds in folds.values()])
    else:
        low, high = paired_t(differences)
    return Comparison(
        metric=name,
        model=model.name,
        baseline=baseline.name,
        model_value=model.mean(metric),
        baseline_value=baseline.mean(metric),
        difference=float(differences.mean()),
        low=low,
        high=high,
    )
