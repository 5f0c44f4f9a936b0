"""How sure a difference is: paired resampling, and the sentence that says who won."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

RESAMPLES = 1000
COVERAGE = 0.95
BLOCK = 2**24


def resampling_weights(cells: int, seed: int, resamples: int = RESAMPLES) -> Iterator[np.ndarray]:
    """Draw `cells` cells with replacement, again and again.

    Yields
    ------
    Blocks of (resamples, cells), float32: how often each cell was drawn. The same seed and
    number of cells give the same draws, which is what pairs two methods.
    """
    rng = np.random.default_rng(seed)
    rows = max(1, min(resamples, BLOCK // max(cells, 1)))
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        drawn = rng.integers(0, cells, (size, cells)) + np.arange(size)[:, None] * cells
        counts = np.bincount(drawn.ravel(), minlength=size * cells)
        yield counts.reshape(size, cells).astype(np.float32)


def interval(replicates: np.ndarray) -> tuple[float, float]:
    """Middle 95 % of bootstrap replicates."""
    low, high = np.quantile(replicates, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return float(low), float(high)


def nested_bootstrap(folds: Sequence[np.ndarray], seed: int = 0) -> tuple[float, float]:
    """Interval of a mean over folds and seeds, allowing for cells, seeds and folds.

    Parameters
    ----------
    folds
        For each fold (seeds, resamples): the replicates of a paired difference. The same draw
        of cells is used for every seed of a fold, since every seed is asked about the same
        cells: averaging over seeds does not make the query larger.
    seed
        Seed of the draws.

    Returns
    -------
    Low and high end. In each replicate folds are drawn with replacement, in each of them seeds,
    and in those the replicate's cells. With few folds or seeds it is somewhat too narrow, as
    every percentile interval is.
    """
    rng = np.random.default_rng(seed)
    resamples = folds[0].shape[1]
    replicate = np.arange(resamples)
    drawn_means = np.empty((len(folds), len(folds), resamples))
    for place in range(len(folds)):
        for fold, differences in enumerate(folds):
            seeds = rng.integers(0, len(differences), differences.shape[::-1])
            drawn_means[place, fold] = differences[seeds, replicate[:, None]].mean(axis=1)
    chosen = rng.integers(0, len(folds), (len(folds), resamples))
    places = np.arange(len(folds))[:, None]
    return interval(drawn_means[places, chosen, replicate].mean(axis=0))


def paired_t(differences: np.ndarray) -> tuple[float, float]:
    """Interval of a mean of paired differences over subsamples (Student's t).

    For scores that are not sums over cells (clusterings, silhouettes). The subsamples share
    most of their cells, so it covers the choice of cells and seed, not of another dataset; with
    a single difference it is unbounded.
    """
    mean, count = float(np.mean(differences)), len(differences)
    if count < 2:
        return -np.inf, np.inf
    spread = float(np.std(differences, ddof=1)) / np.sqrt(count)
    reach = float(student.ppf((1 + COVERAGE) / 2, count - 1)) * spread
    return mean - reach, mean + reach


@dataclass(frozen=True)
class Comparison:
    """A method against the best baseline, on one metric of one task and dataset.

    Attributes
    ----------
    metric
        Name of the metric.
    model, baseline
        What was compared, as ``name (adaptation)``.
    model_value, baseline_value
        Means over folds and seeds.
    difference, low, high
        By how much the model is better (whatever the direction of the metric), and the 95 %
        interval.
    """

    metric: str
    model: str
    baseline: str
    model_value: float
    baseline_value: float
    difference: float
    low: float
    high: float

    @property
    def winner(self) -> str:
        """``"model"``, ``"baseline"`` or ``"none"`` if the interval holds 0."""
        if self.low > 0:
            return "model"
        return "baseline" if self.high < 0 else "none"

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        return verdict(self)


def verdict(comparison: Comparison) -> str:
    """Say in one sentence who won, by how much and how sure that is.

    Examples
    --------
    baseline wins on macro_f1: l1-logistic .912 vs tiny (logistic) .881, by .031 [.020, .043]
    """
    c = comparison
    model = f"{c.model} {_short(c.model_value)}"
    baseline = f"{c.baseline} {_short(c.baseline_value)}"
    if c.winner == "none":
        reach = f"{_short(c.difference)} [{_short(c.low)}, {_short(c.high)}]"
        return f"no difference shown on {c.metric}: {model} vs {baseline}, difference {reach}"
    if c.winner == "model":
        reach = f"{_short(c.difference)} [{_short(c.low)}, {_short(c.high)}]"
        return f"model wins on {c.metric}: {model} vs {baseline}, by {reach}"
    reach = f"{_short(-c.difference)} [{_short(-c.high)}, {_short(-c.low)}]"
    return f"baseline wins on {c.metric}: {baseline} vs {model}, by {reach}"


def _short(value: float) -> str:
    """Three decimals without the leading zero: ``.912``, ``-.031``, ``1.000``."""
    if not np.isfinite(value):
        return "∞" if value > 0 else "-∞"
    text = f"{value:.3f}"
    text = text.removeprefix("-") if float(text) == 0 else text
    return text.replace("0.", ".", 1) if abs(float(text)) < 1 else text
