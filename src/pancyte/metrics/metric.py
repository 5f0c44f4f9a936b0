"""What a metric is: a function of named arrays that knows its range and its source."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from pancyte.errors import InputError, UsageError


@dataclass(frozen=True)
class Terms:
    """A score as a function of sums over cells, so that cells can be reweighted.

    Attributes
    ----------
    per_cell
        What each cell adds to each sum, (cells, sums).
    value
        Turns sums, (resamples, sums), into scores, (resamples,). Weights add up to the number
        of cells.
    """

    per_cell: csr_matrix
    value: Callable[[np.ndarray], np.ndarray]


class Metric:
    """A score with its range and source; call it like the function it wraps.

    Attributes
    ----------
    name
        The function's name.
    worst, best
        Values of the worst and of a perfect answer; ``best < worst`` if lower is better.
    source
        Citation.
    needs
        Names of the arrays it cannot do without.
    """

    def __init__(
        self, function: Callable[..., Any], *, worst: float, best: float, source: str
    ) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self.name = function.__name__
        self.worst = worst
        self.best = best
        self.source = source
        parameters = inspect.signature(function).parameters
        self._accepts = tuple(parameters)
        self.needs = tuple(p.name for p in parameters.values() if p.default is p.empty)

    def __call__(self, *args: Any, **kwargs: Any) -> float:
        """Score an answer; the arrays are those of the wrapped function."""
        return float(self._function(*args, **kwargs))

    @property
    def sign(self) -> int:
        """1 if higher is better, -1 if lower is."""
        return 1 if self.best > self.worst else -1

    def score(self, arrays: Mapping[str, Any]) -> float:
        """Score whichever of the named `arrays` this metric takes.

        Raises
        ------
        UsageError
            If an array the metric needs is not among them.
        """
        return self(**self._chosen(arrays))

    def _chosen(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        missing = [name for name in self.needs if name not in arrays]
        if missing:
            raise UsageError(
                f"Metric {self.name!r} needs {', '.join(missing)}; it was given "
                f"{', '.join(sorted(arrays))}.",
                fix="Choose a metric that fits the task, or name the arrays as it does.",
            )
        return {name: arrays[name] for name in self._accepts if name in arrays}


class AdditiveMetric(Metric):
    """A metric whose value follows from sums over cells; its function returns `Terms`."""

    def __call__(self, *args: Any, **kwargs: Any) -> float:
        """Score an answer; the arrays are those of the wrapped function."""
        terms = self._function(*args, **kwargs)
        sums = np.asarray(terms.per_cell.sum(axis=0), dtype=np.float64).reshape(1, -1)
        return float(terms.value(sums)[0])

    def resampled(self, arrays: Mapping[str, Any], weights: Iterable[np.ndarray]) -> np.ndarray:
        """Score the same answer on reweighted cells.

        Parameters
        ----------
        arrays
            As for `score`.
        weights
            Blocks of (resamples, cells): how often each cell was drawn.

        Returns
        -------
        One score for each row of each block.
        """
        terms = self._function(**self._chosen(arrays))
        return np.concatenate([terms.value(block @ terms.per_cell) for block in weights])


def metric(*, worst: float, best: float, source: str) -> Callable[[Callable[..., Any]], Metric]:
    """Make a function of arrays a metric; its parameter names say what it needs."""
    return lambda function: Metric(function, worst=worst, best=best, source=source)


def additive(
    *, worst: float, best: float, source: str
) -> Callable[[Callable[..., Terms]], AdditiveMetric]:
    """Make a function that returns `Terms` a metric that can be bootstrapped in one product."""
    return lambda function: AdditiveMetric(function, worst=worst, best=best, source=source)


def same_length(**arrays: Any) -> None:
    """Refuse arrays that do not describe the same, non-empty set of cells.

    Raises
    ------
    InputError
        With the lengths, or if there are no cells.
    """
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(
            f"The arrays describe different numbers of cells: {lengths}.",
            fix="Give each array one row per cell, in the same order.",
        )
    if not all(lengths.values()):
        raise InputError("There are no cells to score.", fix="Check the split and the labels.")
