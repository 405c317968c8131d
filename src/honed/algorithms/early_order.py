"""Does the order after a few steps predict the order at the end? Spearman's rank correlation, corrected for who was trained on.

Trainings that reach the end are not drawn evenly: a search goes on with those that looked best early, and among these the early
order says little even where it says everything among all. So each early value is ranked among all trials that came that far,
and the correlation r of those that finished is corrected for their narrower range (Thorndike 1949, case 2),

    rho = r u / sqrt(1 + r^2 (u^2 - 1)),    u = sd of the early ranks of all / sd of those that finished.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_MOST_WIDENING = 5.0  # finished trials that all stood side by side early say nothing, however they are corrected


def ranks(values: Floats) -> Floats:
    """[n] places from 0; equal values share the mean of theirs, and NaN is worst."""
    values = np.where(np.isnan(values), np.inf, values)
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - 0.5 * (counts + 1))[group], dtype=np.float64)


def spearman(a: Floats, b: Floats) -> float:
    """The rank correlation of two columns; NaN where one of them is constant, or shorter than 2."""
    return _pearson(ranks(a), ranks(b)) if len(a) > 1 else math.nan


def _pearson(a: Floats, b: Floats) -> float:
    a, b = a - a.mean(), b - b.mean()
    size = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / size if size > 0.0 else math.nan


@dataclass(frozen=True, slots=True)
class Order:
    """How well the early order predicts the final one.

    Attributes:
        rho: the correlation that is to be expected among all trials; NaN where nothing can be said.
        upper: the same one standard error above.
        n: finished trials.
    """

    rho: float
    upper: float
    n: int


def early_order(early: Floats, late: Floats) -> Order:
    """How well the values at an early step predict the final ones.

    Args:
        early: [m] of all trials that came so far; smaller is better.
        late: [m] the final ones; NaN for those that never reached the end.
    """
    done = np.flatnonzero(~np.isnan(late))
    n = len(done)
    if n < 2:
        return Order(math.nan, math.nan, n)
    places = ranks(early)
    r = _pearson(places[done], ranks(late[done]))
    if math.isnan(r):
        return Order(math.nan, math.nan, n)
    widening = min(max(float(places.std() / places[done].std()), 1.0), _MOST_WIDENING)
    above = math.tanh(math.atanh(min(max(r, -0.999), 0.999)) + 1.0 / math.sqrt(max(n - 3, 1)))
    return Order(_widened(r, widening), _widened(above, widening), n)


def _widened(r: float, u: float) -> float:
    return r * u / math.sqrt(1.0 + r * r * (u * u - 1.0))
