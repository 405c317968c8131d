"""Which trials no other trial beats in every objective, which of them is the knee, and how much they dominate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from honed.algorithms.hypervolume import hypervolume, reference_of
from honed.history import Floats, History
from honed.records import TrialRecord

_LARGEST = 1e300  # so that differences of losses stay finite


def pareto_front(history: History) -> list[TrialRecord]:
    """The non-dominated finished trials, by their first objective, best first.

    A trial is dominated when another one is at least as good in all objectives and better in one. Where constraints are
    measured, only trials that keep them count; while none does, the one that violates them least stands alone. O(f n) for f
    trials on the front.
    """
    return [history.finished[row] for row in _front(history)]


def knee(history: History) -> TrialRecord | None:
    """The trial of the front that gives up least in all objectives together; None while there is no front.

    With each objective scaled from 0, the best on the front, to 1, the worst on it, it lies farthest below the plane
    f_1 + ... + f_m = 1, which for two objectives is the line through the ends (Das 1999, doi 10.1007/s001580050111). Of equal
    trials the oldest, for one objective the best trial.
    """
    rows = _front(history)
    if not rows:
        return None
    losses = np.clip(history.columns.losses[rows], -_LARGEST, _LARGEST)
    low, high = losses.min(axis=0), losses.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    given_up = np.round(((losses - low) / span).sum(axis=1), 12)
    numbers = history.columns.numbers[rows]
    return history.finished[rows[int(np.lexsort((numbers, given_up))[0])]]


def dominated_volume(history: History, reference: Sequence[float] | None = None) -> float:
    """The volume between the front and the reference; 0 while no trial keeps all measured constraints.

    Args:
        reference: a value of each objective that is worse than what counts; by default the worst of all trials and a tenth of
            their range beyond.

    Raises:
        ValueError: another number of values than objectives, or one that is not finite.
    """
    columns, study = history.columns, history.study
    losses = np.clip(columns.losses, -_LARGEST, _LARGEST)
    if reference is None:
        limit = reference_of(losses)
    else:
        signs = [1.0 if direction == "minimize" else -1.0 for direction in study.directions]
        if len(reference) != len(signs):
            raise ValueError(
                f"hypervolume: reference={list(reference)} has {len(reference)} values, the study has {len(signs)} "
                f"objectives: {', '.join(study.metrics)}; give one value for each"
            )
        limit = np.array(signs) * np.asarray(reference, dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # losses as large as floats go: inf
        return hypervolume(losses[columns.violations <= 0.0], limit)


def _front(history: History) -> list[int]:
    """The rows of the front in ``Columns``, by the first objective."""
    losses, violations = history.columns.losses, history.columns.violations
    rows = np.flatnonzero(~np.isnan(losses).any(axis=1))
    if not len(rows):
        return []
    keeps = rows[violations[rows] <= 0.0]
    if not len(keeps):
        order = np.lexsort((history.columns.numbers[rows], *losses[rows].T[::-1], violations[rows]))
        return [int(rows[order[0]])]
    return _undominated(losses, keeps)


def _undominated(losses: Floats, rows: npt.NDArray[np.int64]) -> list[int]:
    order = rows[np.lexsort(losses[rows].T[::-1])]  # by the first objective, ties by the next
    front: list[int] = []
    for row in order.tolist():  # nothing later in this order can dominate an earlier one
        kept = losses[front]
        if not np.any(np.all(kept <= losses[row], axis=1) & np.any(kept < losses[row], axis=1)):
            front.append(row)
    return front
