"""The best point of a score over numbers and choices: many candidates, then a climb from several of them at once.

All starts climb together, one matrix of points at a time: a projected quasi-Newton method (BFGS on the free coordinates,
Nocedal, Wright 2006, chapters 6 and 16; shorter steps until Armijo's condition holds), in turns with an exhaustive search over
each coordinate that has few values; along one with more values the neighbours of where the climb ended are tried, near ones
and far ones. What is returned is always on the grid of values and scored there.

    X  [m, d]  points        grids  [d]  the allowed coordinates of each column, None where any number will do
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Score = Callable[[Floats], Floats]
"""Points [m, d] -> scores [m], larger is better."""
ScoreAndGradient = Callable[[Floats], tuple[Floats, Floats]]
"""Points [m, d] -> scores [m] and gradients [m, d]."""

_ARMIJO = 1e-4
_LEAST_STEP, _LEAST_RISE = 1e-3, 1e-4  # lengthscales, nats: finer ends were higher by less than .01 nats
_HOPS = np.array([0, -1, 1, -2, 2, -4, 4, -8, 8])  # along a coordinate with many values; the climb's end wins ties


@dataclass(frozen=True, slots=True)
class Region:
    """Where to search.

    Attributes:
        low, high: [d] bounds; equal where a coordinate is held.
        grids: [d] sorted allowed coordinates, or None.
        few: columns whose values are tried one by one.
        canonical: what a point means: takes back coordinates of parameters that its others switch off.
    """

    low: Floats
    high: Floats
    grids: Sequence[Floats | None]
    few: Sequence[int]
    canonical: Callable[[Floats], Floats]

    @property
    def many(self) -> list[int]:
        """Columns whose values are too many to be tried one by one."""
        free = np.flatnonzero(self.high > self.low).tolist()
        return [j for j in free if self.grids[j] is not None and j not in self.few]

    def snapped(self, X: Floats) -> Floats:
        """The nearest allowed points."""
        X = np.clip(X, self.low, self.high)
        for j, grid in enumerate(self.grids):
            if grid is None or not self.high[j] > self.low[j]:
                continue
            right = np.clip(np.searchsorted(grid, X[:, j]), 1, max(len(grid) - 1, 1))
            if len(grid) > 1:
                left = right - 1
                X[:, j] = np.where(X[:, j] - grid[left] < grid[right] - X[:, j], grid[left], grid[right])
            else:
                X[:, j] = grid[0]
        return X


def maximise(
    score: Score, score_and_gradient: ScoreAndGradient, starts: Floats, region: Region, scales: Floats
) -> Floats:
    """The allowed points that climbing from ``starts`` [k, d] ends at, and the starts themselves; best first.

    Args:
        scales: [d] the step that matters in each coordinate (a lengthscale); 0 for columns without gradient.
    """
    is_free = (scales > 0.0) & (region.high > region.low)
    X = starts.copy()
    for turn in range(2 if region.few else 1):
        if is_free.any():
            X = climb(score_and_gradient, X, region, np.where(is_free, scales, 0.0), 15 if turn else 25)
        for j in region.few:
            X = _best_value(score, X, region, j)
    X = region.snapped(X)
    for j in region.many:
        X = _best_neighbour(score, X, region, j)
    both = np.concatenate([region.snapped(X), region.snapped(starts)])
    values = score(region.canonical(both))
    best_first: Floats = both[np.argsort(-values, kind="stable")]
    return best_first


def climb(f: ScoreAndGradient, X: Floats, region: Region, scales: Floats, n_iterations: int) -> Floats:
    """Local maxima from all rows of X at once, inside the bounds."""
    m = len(X)
    X = np.clip(X, region.low, region.high)
    value, gradient = f(region.canonical(X))
    H = np.tile(np.diag(scales**2), (m, 1, 1))  # inverse Hessians of -f
    is_first, is_done = np.ones(m, dtype=bool), ~np.isfinite(value)
    for _ in range(n_iterations):
        rows = np.flatnonzero(~is_done)
        if not len(rows):
            break
        step = _direction(H[rows], X[rows], gradient[rows], region, scales)
        step *= _shortening(step, scales, is_first[rows])[:, None]
        t, is_open = np.ones(len(rows)), np.ones(len(rows), dtype=bool)
        X_new, value_new, gradient_new = X[rows].copy(), value[rows].copy(), gradient[rows].copy()
        for _ in range(6):  # halving; those that have found enough wait
            k = np.flatnonzero(is_open)
            tried = np.clip(X[rows[k]] + t[k, None] * step[k], region.low, region.high)
            v, g = f(region.canonical(tried))
            rise = np.einsum("ij,ij->i", gradient[rows[k]], tried - X[rows[k]])
            good = v >= value[rows[k]] + _ARMIJO * np.maximum(rise, 0.0)
            kept = k[good]
            X_new[kept], value_new[kept], gradient_new[kept] = tried[good], v[good], g[good]
            is_open[kept] = False
            if not is_open.any():
                break
            t[is_open] *= 0.3
        s, y = X_new - X[rows], gradient[rows] - gradient_new
        _update(H, rows, s, y, is_first)
        small = (np.abs(s) / np.where(scales > 0, scales, 1.0)).max(axis=1) < _LEAST_STEP
        is_done[rows] = is_open | small | (value_new - value[rows] < _LEAST_RISE)
        X[rows], value[rows], gradient[rows] = X_new, value_new, gradient_new
    return X


def _direction(H: Floats, X: Floats, gradient: Floats, region: Region, scales: Floats) -> Floats:
    """H gradient over the coordinates that may move; the scaled gradient where that would not climb."""
    at_low, at_high = region.low >= X, region.high <= X
    is_held = (at_low & (gradient <= 0.0)) | (at_high & (gradient >= 0.0)) | (scales <= 0.0)
    g = np.where(is_held, 0.0, gradient)
    step = np.where(is_held, 0.0, np.einsum("kij,kj->ki", H, g))
    slope = np.einsum("ij,ij->i", step, g)
    return np.where((slope > 0.0)[:, None], step, g * scales**2)


def _shortening(step: Floats, scales: Floats, is_first: npt.NDArray[np.bool_]) -> Floats:
    """Factors that keep a step below half a lengthscale, the first one below a tenth."""
    size = np.sqrt(((step / np.where(scales > 0.0, scales, 1.0)) ** 2).sum(axis=1))
    most = np.where(is_first, 0.1, 0.5)
    return np.asarray(np.minimum(1.0, most / np.maximum(size, 1e-12)))


def _update(H: Floats, rows: npt.NDArray[np.int64], s: Floats, y: Floats, is_first: npt.NDArray[np.bool_]) -> None:
    """BFGS in place, for the rows with positive curvature."""
    sy = np.einsum("ij,ij->i", s, y)
    ok = sy > 1e-10 * np.sqrt((s * s).sum(axis=1) * (y * y).sum(axis=1)) + 1e-300
    if not ok.any():
        return
    r, s, y, sy = rows[ok], s[ok], y[ok], sy[ok]
    B = H[r]
    fresh = is_first[r]
    if fresh.any():  # the first pair sets the size (ibid., eq. 6.20)
        yHy = np.einsum("ki,kij,kj->k", y[fresh], B[fresh], y[fresh])
        B[fresh] *= np.clip(sy[fresh] / np.maximum(yHy, 1e-300), 1e-3, 1e3)[:, None, None]
        is_first[r] = False
    Hy = np.einsum("kij,kj->ki", B, y)
    yHy = np.einsum("ki,ki->k", y, Hy)
    outer = np.einsum("ki,kj->kij", s, Hy)
    B += ((sy + yHy) / sy**2)[:, None, None] * np.einsum("ki,kj->kij", s, s)
    B -= (outer + outer.transpose(0, 2, 1)) / sy[:, None, None]
    H[r] = B


def _best_value(score: Score, X: Floats, region: Region, j: int) -> Floats:
    """Each point with the value of column j that scores best, the others as they are."""
    grid = region.grids[j]
    assert grid is not None
    grid = grid[(grid >= region.low[j]) & (grid <= region.high[j])]
    if not len(grid):
        return X
    trials = np.repeat(X[None], len(grid), axis=0)
    trials[:, :, j] = grid[:, None]
    flat = trials.reshape(-1, X.shape[1])
    values = score(region.canonical(region.snapped(flat.copy()))).reshape(len(grid), -1)
    X = X.copy()
    X[:, j] = grid[values.argmax(axis=0)]
    return X


def _best_neighbour(score: Score, X: Floats, region: Region, j: int) -> Floats:
    """Each point with the best of the values around its own in column j, the others as they are."""
    grid = region.grids[j]
    assert grid is not None
    place = np.clip(np.searchsorted(grid, X[:, j] - 1e-9), 0, len(grid) - 1)
    trials = np.repeat(X[None], len(_HOPS), axis=0)
    trials[:, :, j] = grid[np.clip(place + _HOPS[:, None], 0, len(grid) - 1)]
    trials = region.snapped(trials.reshape(-1, X.shape[1])).reshape(trials.shape)
    values = score(region.canonical(trials.reshape(-1, X.shape[1]))).reshape(len(_HOPS), -1)
    best: Floats = trials[values.argmax(axis=0), np.arange(len(X))]
    return best


def untried(points: Floats, tried: Floats) -> Floats:
    """The points that are neither in ``tried`` nor twice, in their order."""
    rounded = np.ascontiguousarray(np.round(np.concatenate([tried, points]), 9) + 0.0)  # + 0: -0 is 0 to the byte
    if not rounded.shape[1]:
        return points[: 0 if len(tried) else 1]
    _, firsts = np.unique(rounded.view(np.dtype((np.void, 8 * rounded.shape[1]))), return_index=True)
    return points[np.sort(firsts[firsts >= len(tried)]) - len(tried)]
