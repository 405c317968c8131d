"""Schedulers of the automatic choice: a first look that loses nothing, paused trials that are not forgotten, half to the end.

Before anything is known, a training is started without a grant, and paused at its first slice only if it can be resumed: one
that cannot is never begun twice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from honed.history import History
from honed.records import LENGTH, LOOK, Decision, Report, Resume, Start, State, TrialRecord
from honed.schedulers.asha import ASHA, ASHAStopping
from honed.schedulers.base import Move, Scheduler
from honed.schedulers.halving import default_first

LEAST_STEPS = 4
"""Trainings shorter than this are never ended early."""

CURVE_STEPS = 10
"""Trainings shorter than this have no curve to predict from."""

LEAST_STOPPED = 6
"""Trainings shorter than this are not stopped: the first look would come when most of it is paid."""

_REPORTS = 3


@dataclass(frozen=True, slots=True)
class FirstLook:
    """What ``scheduler`` begins, with a first slice for those trials only that can be resumed after it.

    The slice that it would grant stands in the trial's note, and the trial is told to pause there.

    Attributes:
        scheduler: says which trial is next.
        stops: whether a training that cannot be resumed is stopped when it is weak; else it is trained to its end.
    """

    scheduler: Scheduler
    stops: bool = False

    def next(self, history: History) -> Move:
        move = self.scheduler.next(history)
        if isinstance(move, Start) and move.until is not None:
            return replace(move, until=None, note={**move.note, LOOK: move.until})
        if isinstance(move, Resume) and not history[move.number].attempt:
            return replace(move, until=None)
        return move

    def decide(self, history: History, trial: TrialRecord) -> Decision:
        if trial.until is not None:
            return Decision.CONTINUE
        if trial.note.get("tracks") or trial.checkpoint is not None:
            return Decision.PAUSE if _is_due(history, trial) else Decision.CONTINUE
        return ASHAStopping().decide(history, trial) if self.stops else Decision.CONTINUE


def _is_due(history: History, trial: TrialRecord) -> bool:
    """Whether this report is the first one at the end of the first slice; what goes on to the end is past it."""
    full = trial.note.get(LENGTH) or history.max_steps
    if full is None or full < LEAST_STEPS:
        return False
    look = trial.note.get(LOOK)
    return _is_beyond(trial.reports, full, look) and not _is_beyond(trial.reports[:-1], full, look)


def _is_beyond(reports: tuple[Report, ...], full: int, look: int | None) -> bool:
    if not reports:
        return False
    if look is not None:
        return reports[-1].step >= look
    if full < CURVE_STEPS:
        return reports[-1].step >= default_first(full, 3)
    return len(reports) >= _REPORTS and reports[-1].step >= math.ceil(0.05 * full)


@dataclass(frozen=True, slots=True)
class PickUp:
    """``scheduler``, and trials that somebody else has paused: those that asynchronous halving would promote go on to the end."""

    scheduler: Scheduler

    def next(self, history: History) -> Move:
        if history.count(State.PAUSED):
            move = ASHA().next(history)
            if isinstance(move, Resume):
                return replace(move, until=None)
        return self.scheduler.next(history)

    def decide(self, history: History, trial: TrialRecord) -> Decision:
        return self.scheduler.decide(history, trial)


@dataclass(frozen=True, slots=True)
class HalfToTheEnd:
    """Every second trial is trained to its end, whatever its early values; the others as ``scheduler`` says."""

    scheduler: Scheduler

    def next(self, history: History) -> Move:
        move = self.scheduler.next(history)
        if isinstance(move, Start) and _is_kept(len(history)):
            return replace(move, until=None)
        if isinstance(move, Resume) and _is_kept(move.number) and not history[move.number].attempt:
            return replace(move, until=None)
        return move

    def decide(self, history: History, trial: TrialRecord) -> Decision:
        return Decision.CONTINUE if _is_kept(trial.number) else self.scheduler.decide(history, trial)


def _is_kept(number: int) -> bool:
    return number % 2 == 0
