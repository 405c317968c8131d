"""How far a new trial goes before it is judged for the first time."""

from __future__ import annotations

import numpy as np

from honed.algorithms.early_order import early_order
from honed.history import History

_LEAST, _RELIABLE = 8, 0.5


def adapted(history: History, first: int, full: int) -> int:
    """The first slice, doubled while its values do not tell the order at twice as many steps; a quarter of a training at most.

    Args:
        first: the slice where nothing is known.
    """
    while 2 * first <= full // 4:
        early, late = history.rung(first), history.rung(2 * first)
        later = np.full(len(history), np.nan)
        later[late.numbers] = late.bests
        found = early_order(early.bests, later[early.numbers])
        if found.n < _LEAST or not found.rho < _RELIABLE:
            return first
        first *= 2
    return first
