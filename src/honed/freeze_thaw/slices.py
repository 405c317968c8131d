"""How long a slice is, how far a trial can still get, which of equals goes on, and when to finish one at last."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from honed.costs import Costs
from honed.freeze_thaw.budget import ETA, Budget
from honed.freeze_thaw.seen import Seen
from honed.history import Floats, History, Ints
from honed.records import Resume

PAUSES = 10
"""A slice takes at least so many times what saving and restoring take."""

DEAR = 0.5
"""Seconds: pauses that cost less, and trainings that end within a minute, never change a decision. Times differ from run to run,
and a search that lasts minutes should be the same in each."""

_MINUTE = 60.0

SPARE = 0.1
"""What a last training to the end may take longer than was measured."""

_GROWTH = 4  # a slice is a quarter of what was trained before
_EQUAL, _STICKY = math.log(0.99), math.log(0.9)


def next_slice(data: Seen, row: int, budget: Budget | None, first: int, costs: Costs) -> Resume:
    """A trial's next slice: the first one, then a quarter of what it was trained, and more where pausing is dear."""
    at = int(data.at[row])
    until = max(first if at < first else at + max(1, at // _GROWTH), at + least(row, at, first, costs))
    if budget is not None:
        until = min(until, at + max(budget.left, 1))
    return data.granted(row, until)


def least(row: int, at: int, first: int, costs: Costs) -> int:
    """The shortest slice that is worth its pause: a power of two, so that small differences in time decide nothing.

    However dear a pause is, a slice is no longer than halving's: up to three times the steps that the trial has.
    """
    step_seconds = costs.step_of(row)
    if costs.pause_seconds is None or costs.pause_seconds < DEAR or step_seconds is None:
        return 1
    most = max((ETA - 1) * at, first)
    n_steps = min(PAUSES * costs.pause_seconds / step_seconds, most)
    return min(2 ** math.ceil(math.log2(n_steps)), most) if n_steps > 1 else 1


def horizons(data: Seen, rows: Ints, budget: Budget | None, costs: Costs) -> Ints:
    """[rows] the step that each trial can still reach, at its own pace: its end, or less."""
    if budget is None:
        return data.totals[rows]
    shares = np.array([budget.share_at(pace(int(row), costs)) for row in rows], dtype=np.int64)
    ends: Ints = np.minimum(data.totals[rows], data.at[rows] + shares)
    return ends


def pace(row: int, costs: Costs) -> float:
    """How many steps of a trial fit into the time of a usual one."""
    own = costs.by_trial.get(row)
    return 1.0 if own is None or costs.step_seconds is None else costs.step_seconds / own


def picked(history: History, data: Seen, rows: Ints, scores: Floats, costs: Costs) -> int:
    """The trial that goes on: the best by its score; one whose checkpoint is here before one that is better by little.

    Of those that are as good (within 1 %), the one that is nearest to its end in time, where that differs clearly.
    """
    here = [int(i) for i in range(len(rows)) if _is_here(history, int(rows[i]))]
    best = float(scores.max())
    among: Sequence[int] = range(len(rows))
    if here and max(float(scores[i]) for i in here) >= best + _STICKY:
        among = here
        best = max(float(scores[i]) for i in here)
    equals = [i for i in among if scores[i] >= best + _EQUAL] or [int(np.argmax(scores))]
    return int(rows[min(equals, key=lambda i: (_magnitude(data, int(rows[i]), costs), -float(scores[i]), i))])


def _magnitude(data: Seen, row: int, costs: Costs) -> int:
    """Seconds to a trial's end, in powers of two: measured times are never quite equal."""
    seconds = int(data.totals[row] - data.at[row]) * (costs.step_of(row) or 0.0)
    return round(math.log2(seconds)) if seconds > _MINUTE else 0


def _is_here(history: History, row: int) -> bool:
    """Whether the worker that asks runs where the trial was saved."""
    host, worker = history.allowance.host, history[row].worker
    return host is not None and worker is not None and worker.partition(":")[0] == host


def last_chance(history: History, data: Seen, budget: Budget | None, first: int, costs: Costs) -> Resume | None:
    """The best trial that can still be trained to its end, when after one more slice there might be no time for it.

    So a study whose limit is worth one full training has one; None while there is no hurry, or one is done or under way.
    """
    allowance = history.allowance
    is_hard = (allowance.steps, allowance.train_seconds, allowance.seconds_left) != (None, None, None)
    if budget is None or not is_hard or not len(data.paused) or data.has_full:
        return None
    ends = data.totals[data.running]
    if (data.untils >= ends).any():
        return None
    needed = data.totals[data.paused] - data.at[data.paused]
    left = np.array([budget.left_at(pace(int(row), costs)) for row in data.paused])
    can_end = np.flatnonzero(needed <= left)
    if not len(can_end):
        return None
    best = int(can_end[np.argmin(data.last_values()[data.paused[can_end]])])
    longest = max(_length(data, int(row), first, costs) for row in data.paused)
    is_urgent = budget.is_last or left[best] - needed[best] < SPARE * needed[best] + max(longest, first)
    return Resume(number=int(data.paused[best])) if is_urgent else None


def _length(data: Seen, row: int, first: int, costs: Costs) -> int:
    """How many steps a trial's next slice has."""
    until = next_slice(data, row, None, first, costs).until
    return int((data.totals[row] if until is None else until) - data.at[row])
