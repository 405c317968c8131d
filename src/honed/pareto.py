"""Which trials no other trial beats in every objective."""

from __future__ import annotations

import numpy as np

from honed.history import History
from honed.records import TrialRecord


def pareto_front(history: History) -> list[TrialRecord]:
    """The non-dominated finished trials, by their first objective, best first.

    A trial is dominated when another one is at least as good in all objectives and better in one. O(f n) for f trials
    on the front.
    """
    losses = history.columns.losses
    rows = np.flatnonzero(~np.isnan(losses).any(axis=1))
    order = rows[np.lexsort(losses[rows].T[::-1])]  # by the first objective, ties by the next
    front: list[int] = []
    for row in order:  # nothing later in this order can dominate an earlier one
        kept = losses[front]
        if not np.any(np.all(kept <= losses[row], axis=1) & np.any(kept < losses[row], axis=1)):
            front.append(int(row))
    return [history.finished[row] for row in front]
