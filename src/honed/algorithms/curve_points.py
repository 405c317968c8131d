"""Which points of many learning curves a model sees: a geometric grid along each curve, the best curves first.

Neighbouring values of one curve say nearly the same, and a process of n points costs n^3. So each curve keeps the first point
of every cell of the grid 1, 2, 3, 4, 6, 9, 13, ... (half as much again) and its last one; curves that are not among the best
keep their last point only; all is cut at a number of points, best curves first.

    numbers [n]  whose point it is        steps [n]  of it        y [n]  its value, smaller is better
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MOST_POINTS = 260
_MOST_CURVES = 25
_GROWTH = 1.5


def grid(full: int) -> Ints:
    """The steps at which cells begin, up to ``full``."""
    steps, step = [1], 1
    while step < full:
        step = max(step + 1, int(_GROWTH * step))
        steps.append(step)
    return np.array(steps, dtype=np.int64)


def thinned(numbers: Ints, steps: Ints, y: Floats, most: int = MOST_POINTS, *, closing: bool = False) -> Ints:
    """Indices of the points to keep, sorted by trial and step.

    Args:
        closing: the last point of each cell is kept instead of the first, as where each is a mean of those before.
    """
    if not len(y):
        return np.zeros(0, dtype=np.int64)
    order = np.lexsort((steps, numbers))
    number, step = numbers[order], steps[order]
    is_last = np.append(number[1:] != number[:-1], True)
    is_first = np.append(True, is_last[:-1])
    cell = np.searchsorted(grid(int(step.max())), step, side="right")
    is_kept = np.append(cell[1:] != cell[:-1], True) if closing else is_first | np.append(True, cell[1:] != cell[:-1])
    lasts = np.flatnonzero(is_last)
    curve = np.cumsum(is_first) - 1
    place = np.empty(len(lasts), dtype=np.int64)
    place[np.argsort(y[order][lasts], kind="stable")] = np.arange(len(lasts))
    rank = place[curve]
    keep = np.flatnonzero((is_kept & (rank < _MOST_CURVES)) | is_last)
    if len(keep) > most:  # best curves first, within a curve the last point first, then from the end
        chosen = keep[np.lexsort((-step[keep], rank[keep]))][:most]
        keep = np.sort(chosen)
    return order[keep]


def trial_bests(numbers: Ints, y: Floats) -> Floats:
    """[m] the best value of each trial, by number."""
    if not len(y):
        return y
    order = np.argsort(numbers, kind="stable")
    number = numbers[order]
    return np.asarray(np.minimum.reduceat(y[order], np.flatnonzero(np.append(True, number[1:] != number[:-1]))))
