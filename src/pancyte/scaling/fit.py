"""How loss falls with parameters and cells: a fitted law, and how far it can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from pancyte.errors import InputError

HUBER = 1e-3
"""Where the error of the logarithm begins to count linearly, as in Hoffmann et al. 2022."""
STEEPEST = 3.0
"""No exponent is sought beyond it."""
FINEST = 3
"""So many of the ends that were found are starts for each replicate."""
ITERATIONS = 300
STILL = 1e-7
"""A search ends once a step gains less than this share of the error,"""
SHORTEST = 1e8
"""or its steps have been made shorter than this damping makes them."""
LEAST = 1e-9
SPREAD = 0.5
"""An exponent is pinned if its interval is no longer than this many times its value."""
LEVEL = 0.95
"""Share of the replicates in an interval. In simulations with a known law it holds the truth in
about nine of ten cases, which is what is claimed: residuals of a fit are too small by nature."""
NAMES = ("E", "A", "a", "B", "b")

Bounds = tuple[np.ndarray, np.ndarray]
Ends = tuple[np.ndarray, np.ndarray]
Expansion = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Law:
    """Loss as a function of parameters N and cells D: ``E + A / N^a + B / D^b``.

    Attributes
    ----------
    estimate
        E, A, a, B, b.
    replicates
        The same from each bootstrap replicate, (replicates, 5).
    residual
        Root mean square of the error in log loss.
    smallest, largest
        Smallest and largest N and D that were fitted.
    """

    estimate: np.ndarray
    replicates: np.ndarray
    residual: float
    smallest: tuple[float, float]
    largest: tuple[float, float]

    def __call__(self, parameters: ArrayLike, cells: ArrayLike) -> np.ndarray:
        """Return the loss at N parameters and D cells."""
        return _loss(self.estimate, parameters, cells)

    def interval(self, name: str) -> tuple[float, float]:
        """Return the 90 % interval of one of E, A, a, B, b."""
        return _between(self.replicates[:, NAMES.index(name)])

    def predict(self, parameters: float, cells: float) -> tuple[float, float, float]:
        """Return the loss at a point and its 90 % interval, as far as the law itself holds."""
        drawn = np.array([_loss(row, parameters, cells) for row in self.replicates])
        return (float(self(parameters, cells)), *_between(drawn))

    @property
    def loose(self) -> list[str]:
        """Name the exponents that the data do not pin, and E if it may be nothing.

        An exponent is loose if its interval reaches a bound of the search or is longer than half of
        its value.
        """
        found = []
        for name in ("a", "b"):
            low, high = self.interval(name)
            value = self.estimate[NAMES.index(name)]
            at_bound = low < 1e-3 or high > STEEPEST - 1e-3
            if at_bound or high - low > SPREAD * value:
                found.append(name)
        low, high = self.interval("E")
        return found + (["E"] if high - low > SPREAD * self.estimate[0] else [])


def fit_law(
    parameters: ArrayLike,
    cells: ArrayLike,
    loss: ArrayLike,
    *,
    replicates: int = 200,
    seed: int = 0,
) -> Law:
    """Fit ``L = E + A / N^a + B / D^b`` to runs, with bootstrap intervals.

    Parameters
    ----------
    parameters, cells
        N and D of each run, (runs,).
    loss
        Held-out loss of each run, (runs,), positive.
    replicates
        How many bootstrap replicates.
    seed
        Seed of the bootstrap.

    Raises
    ------
    InputError
        If there are fewer than three values of N or of D, or a loss is not positive.

    Notes
    -----
    The Huber loss of log L is minimised from many starts, with exponents between 0 and 3 (Hoffmann
    et al. 2022, arXiv:2203.15556, approach 3; they take L-BFGS, which finds the same). A replicate
    keeps the design, which was chosen and not drawn, and draws anew the residuals, each divided by
    one minus the mean leverage, as the fit took five degrees of freedom. Besides chance they hold
    what the law misses between points, not what it may miss beyond them.
    """
    N, D, L = (np.asarray(given, dtype=np.float64) for given in (parameters, cells, loss))
    _check(N, D, L)
    centre = np.log(N).mean(), np.log(D).mean()
    x, y, z = np.log(N) - centre[0], np.log(D) - centre[1], np.log(L)
    ends, errors = _descend(x, y, z, _starts(z))
    best = ends[errors.argmin()]
    smooth = _log_loss(best, x, y)
    residuals = z - smooth
    enlarged = residuals * len(z) / max(1, len(z) - len(best))
    rng = np.random.default_rng(seed)
    again = smooth + rng.choice(enlarged - enlarged.mean(), (replicates, len(z)))
    return Law(
        _natural(best, *centre),
        _natural(_refitted(x, y, again, ends[np.argsort(errors)[:FINEST]]), *centre),
        float(np.sqrt(np.mean(residuals**2))),
        (float(N.min()), float(D.min())),
        (float(N.max()), float(D.max())),
    )


def _check(N: np.ndarray, D: np.ndarray, L: np.ndarray) -> None:
    if len(np.unique(N)) < 3 or len(np.unique(D)) < 3:
        raise InputError(
            f"A law needs three sizes and three numbers of cells; these are "
            f"{len(np.unique(N))} and {len(np.unique(D))}.",
            fix="Add sizes or cells to the sweep.",
        )
    if not np.isfinite(L).all() or (L <= 0).any():
        raise InputError(
            f"Losses must be positive to be fitted; the lowest is {L.min():.4g}.",
            fix="Fit another term of the loss.",
        )


def _loss(law: np.ndarray, parameters: ArrayLike, cells: ArrayLike) -> np.ndarray:
    E, A, a, B, b = law
    N, D = np.asarray(parameters, dtype=np.float64), np.asarray(cells, dtype=np.float64)
    return E + A * N**-a + B * D**-b


def _natural(found: np.ndarray, mid_parameters: float, mid_cells: float) -> np.ndarray:
    """Turn logarithms at the middle of the data into E, A, a, B, b; (..., 5)."""
    e, p, a, q, b = np.moveaxis(found, -1, 0)
    A, B = np.exp(p + a * mid_parameters), np.exp(q + b * mid_cells)
    return np.stack([np.exp(e), A, a, B, b], axis=-1)


def _refitted(x: np.ndarray, y: np.ndarray, again: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Fit every replicate from each of the starts and keep its best, (replicates, 5)."""
    if not len(again):
        return np.empty((0, len(NAMES)))
    tried = [_descend(x, y, again, np.tile(start, (len(again), 1))) for start in starts]
    best = np.argmin([errors for _, errors in tried], axis=0)
    return np.stack([laws for laws, _ in tried])[best, np.arange(len(again))]


def _parts(laws: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Logarithms of the three terms of some laws at each run, (laws, 3, runs)."""
    e, p, a, q, b = laws.T[:, :, None]
    return np.stack([e + 0 * x, p - a * x, q - b * y], axis=1)


def _log_loss(law: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.logaddexp.reduce(_parts(law[None], x, y)[0], axis=0)


def _starts(z: np.ndarray) -> np.ndarray:
    """Lay out starts: what is irreducible, how large the two terms are, and how fast they fall."""
    lowest, spread = z.min(), max(np.exp(z.max()) - np.exp(z.min()), 1e-6)
    exponents = (0.1, 0.3, 0.6, 1.2)
    return np.array(
        [
            [lowest + np.log(part), np.log(spread * p), a, np.log(spread * q), b]
            for part in (0.3, 0.7, 0.97)
            for p in (0.1, 0.6)
            for q in (0.1, 0.6)
            for a in exponents
            for b in exponents
        ]
    )


def _descend(x: np.ndarray, y: np.ndarray, z: np.ndarray, starts: np.ndarray) -> Ends:
    """Minimise the Huber loss from every start at once, each to its own losses `z`.

    Levenberg–Marquardt on reweighted squares: a run whose error is beyond `HUBER` counts by its
    error's size and not by its square. A step that goes up is taken back and made shorter.
    """
    z = np.broadcast_to(z, (len(starts), len(x)))
    bounds = _bounds(z)
    laws, damping = np.clip(starts, *bounds), np.full(len(starts), 1e-2)
    error, slope, curve = _expanded(laws, x, y, z)
    going = np.arange(len(starts))
    for _ in range(ITERATIONS):
        tried = _step(laws[going], slope[going], curve[going], damping[going], bounds)
        found, slope_there, curve_there = _expanded(tried, x, y, z[going])
        better = found < error[going]
        gained = (error[going] - found) > STILL * error[going]
        moved = going[better]
        laws[moved], error[moved] = tried[better], found[better]
        slope[moved], curve[moved] = slope_there[better], curve_there[better]
        damping[going] *= np.where(better, 1 / 3, 4.0)
        going = going[gained | (~better & (damping[going] < SHORTEST))]
        if not len(going):
            break
    return laws, error


def _bounds(z: np.ndarray) -> Bounds:
    """Between what each parameter is sought; a term far below the losses is as good as none."""
    floor, top = z.min() - 12, z.max() + 1
    return np.array([floor, floor, 0, floor, 0]), np.array([top, top, STEEPEST, top, STEEPEST])


def _step(
    laws: np.ndarray, slope: np.ndarray, curve: np.ndarray, damping: np.ndarray, bounds: Bounds
) -> np.ndarray:
    """Go downhill within bounds; what is at a bound and wants to go beyond it stays where it is."""
    low, high = bounds
    stuck = ((laws <= low) & (slope > 0)) | ((laws >= high) & (slope < 0))
    free = ~stuck[:, :, None] & ~stuck[:, None, :]
    # a little on the diagonal where two laws fit equally well, and no step is better than another
    diagonal = damping[:, None] * np.einsum("rii->ri", curve) + stuck + LEAST
    damped = np.where(free, curve, 0.0) + np.eye(laws.shape[1]) * diagonal[:, :, None]
    step = np.linalg.solve(damped, np.where(stuck, 0.0, slope)[:, :, None])[:, :, 0]
    return np.clip(laws - np.clip(step, -1, 1), low, high)


def _expanded(laws: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> Expansion:
    """Huber loss of each law, its slope, and the curvature of its reweighted squares."""
    parts = _parts(laws, x, y)
    guess = np.logaddexp.reduce(parts, axis=1)
    share = np.exp(parts - guess[:, None])
    off = guess - z
    size = np.abs(off)
    error = np.where(size < HUBER, size**2 / 2, HUBER * (size - HUBER / 2)).sum(axis=1)
    weight = HUBER / np.maximum(size, HUBER)
    jacobian = np.stack(
        [share[:, 0], share[:, 1], -share[:, 1] * x, share[:, 2], -share[:, 2] * y], axis=2
    )
    weighed = jacobian * weight[:, :, None]
    return (
        error,
        np.einsum("rnk,rn->rk", weighed, off),
        np.einsum("rnk,rnl->rkl", weighed, jacobian),
    )


def _between(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
