"""Noisy learning curves: whether they are, and what is left of them when neighbouring values are averaged.

Of independent noise two thirds of all inner values are turning points, lower or higher than both neighbours; a curve that falls
smoothly has none. Where many are, and values many, each is replaced by the mean over the last third of its curve: the values at
steps in (t / 1.5, t], which is a cell of the grid in ``curve_points``. A mean over a falling curve is the value of an earlier
step, so it stands at the mean of the logarithms of its steps. The noise of a mean of m values is s^2 / m. Early values
are means of few, and are left as noisy as they are.

    numbers, steps [n]  points        y [n, k]  their values, smaller is better
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from honed.algorithms.curve_points import trial_bests

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

WINDOW = 1.5
_NOISY = 0.4  # of independent noise .67, of a random walk .5, of what is smooth 0
_FEWEST = 30  # inner values by which noise is judged
_MANY = 32  # values in a mean at the end of the longest curve; of fewer the model makes enough itself
_LEAST = 0.05
_MOST = 1e150  # squares of what is larger overflow
_FAR = 1e9


def turning_share(numbers: Ints, steps: Ints, y: Floats) -> tuple[float, int]:
    """The share of turning points among the inner values of all curves, and how many inner values there are.

    Args:
        y: [n].
    """
    _, before, value, after = _inner(numbers, steps, y)
    if not len(value):
        return 0.0, 0
    return float((np.sign(value - before) * np.sign(value - after) > 0.0).mean()), len(value)


def averaged(numbers: Ints, steps: Ints, y: Floats) -> tuple[Floats, Floats] | None:
    """Means [n, k] and the steps [n] at which they stand; None where curves are smooth, or have too few values.

    Each depends on what its own curve has reported up to there alone.
    """
    if len(numbers) < _FEWEST:
        return None
    order = np.lexsort((steps, numbers))
    number, step = numbers[order], steps[order]
    firsts = np.flatnonzero(np.append(True, number[1:] != number[:-1]))
    curve = np.repeat(np.arange(len(firsts)), np.diff(np.append(firsts, len(order))))
    span = float(step.max()) + 1.0
    start = np.searchsorted(curve * span + step, curve * span + step / WINDOW, side="right")
    count = np.arange(1, len(order) + 1) - start
    if count.max() < _MANY:
        return None
    n = beginning(len(numbers))
    if not all(_is_noisy(numbers[:n], steps[:n], each[:n]) for each in y.T):
        return None
    means, places, sorted_y = np.empty_like(y), np.empty(len(order)), y[order]
    for first, end in zip(firsts, np.append(firsts[1:], len(order)), strict=True):
        mine, runs = slice(first, end), (start[first:end] - first, count[first:end])
        means[order[mine]] = _means(sorted_y[mine], *runs)
        places[order[mine]] = np.exp(_means(np.log(step[mine])[:, None], *runs))[:, 0]
    return means, np.minimum(places, steps)


def beginning(n: int) -> int:
    """How many of n values they are judged by, 1, 2, 4, 8, ...: where a verdict changes, all is learned again."""
    return 1 << (n.bit_length() - 1) if n else 0


def _is_noisy(numbers: Ints, steps: Ints, y: Floats) -> bool:
    """Whether noise is more than a twentieth of what the better trials differ by, and no shape of curves."""
    share, n = turning_share(numbers, steps, y)
    bests = trial_bests(numbers, y)
    spread = float(np.quantile(bests, 0.9) - bests.min())
    return n >= _FEWEST and share >= _NOISY and noise_of(numbers, steps, y) > _LEAST * spread


def _means(values: Floats, start: Ints, count: Ints) -> Floats:
    """[n, k] of each run of ``count`` values of one curve from ``start``; to the last digit the same when more are appended."""
    sizes = np.abs(values)
    # Differences of sums would lose the digits of what is small.
    if (sizes.max(axis=0) > _FAR * np.median(sizes, axis=0)).any():
        ends = np.column_stack([start, start + count]).ravel()
        sums = np.add.reduceat(np.concatenate([values, np.zeros((1, values.shape[1]))]), ends, axis=0)[::2]
        return np.asarray(sums / count[:, None])
    totals = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    return np.asarray((totals[start + count] - totals[start]) / count[:, None])


def noise_of(numbers: Ints, steps: Ints, y: Floats) -> float:
    """The standard deviation of independent noise: what second differences leave of a trend, in the middle curve.

    Args:
        y: [n].
    """
    number, before, value, after = _inner(numbers, steps, y)
    if not len(value):
        return 0.0
    squares = np.minimum(np.abs(value - (0.5 * before + 0.5 * after)), _MOST) ** 2 / 1.5
    place = np.unique(number, return_inverse=True)[1]
    return float(np.sqrt(np.median(np.bincount(place, squares) / np.bincount(place))))


def _inner(numbers: Ints, steps: Ints, y: Floats) -> tuple[Ints, Floats, Floats, Floats]:
    """Of the values that have neighbours on both sides: their curves, the values before, they themselves, the values after."""
    order = np.lexsort((steps, numbers))
    number, value = numbers[order], y[order]
    at = 1 + np.flatnonzero(number[2:] == number[:-2])
    return number[at], value[at - 1], value[at], value[at + 1]
