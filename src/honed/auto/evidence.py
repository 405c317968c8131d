"""What trainings have shown so far: whether they report as they go, can be paused, and whether their early order says much."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from honed.algorithms.early_order import Order, early_order
from honed.freeze_thaw.budget import first_slice
from honed.history import STATES, History
from honed.records import LENGTH, State, TrialRecord

LEAST_FINISHED = 8
"""Finished curves before the early order is judged."""

_FORGOTTEN = 8  # trainings in a row that cannot be paused, after one that could
_NO_ORDER = Order(math.nan, math.nan, 0)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What trainings have shown.

    Attributes:
        steps: of a full training, where one of them has reported before its end; None without curves.
        every: steps between two reports.
        n_tracked: how many trainings could be paused.
        n_untracked: how many could not.
        n_restored: how many went on from a checkpoint.
        n_broken: how many had to begin again, because their checkpoint was gone.
        n_paused: how many stand paused.
        has_forgotten: whether trainings could be paused once, and the latest ones no more: the script has changed.
        order: how well the order at the first slice predicts the final one.
    """

    steps: int | None = None
    every: int = 1
    n_tracked: int = 0
    n_untracked: int = 0
    n_restored: int = 0
    n_broken: int = 0
    n_paused: int = 0
    has_forgotten: bool = False
    order: Order = _NO_ORDER

    @property
    def resumes(self) -> bool:
        """Whether a paused training goes on where it was; a promise until one has done so."""
        return (
            self.n_tracked > 0
            and not self.has_forgotten
            and not (self.n_broken > 1 and self.n_broken > self.n_restored)
        )

    @property
    def all_resume(self) -> bool:
        """Whether no training was seen that cannot be paused."""
        return self.resumes and not self.n_untracked

    @property
    def facts(self) -> tuple[object, ...]:
        """All that the rules ask of it: while it stays, their answer does."""
        is_seen = (min(self.n_tracked, 3), self.n_restored > 0, self.n_paused > 0)
        return (self.steps, self.every, self.resumes, self.all_resume, *is_seen, self.order)

    @property
    def first(self) -> int | None:
        """r0, where trainings report more rarely than at each step: three reports; None where the default fits."""
        if self.steps is None or self.every == 1:
            return None
        return min(max(3 * self.every, first_slice(self.steps)), self.steps)

    @property
    def looked_at(self) -> int | None:
        """The step of the first look."""
        return None if self.steps is None else self.first or first_slice(self.steps)


@dataclass(slots=True)
class _Count:
    """Of trainings that were run here; those entered from elsewhere say nothing of checkpoints."""

    has_curve: bool = False
    every: int = 0
    n_tracked: int = 0
    n_untracked: int = 0
    n_restored: int = 0
    n_broken: int = 0
    last_tracked: int = -1
    untracked: tuple[int, ...] = ()  # the latest ones by number

    def add(self, record: TrialRecord) -> None:
        reports = record.reports
        if not record.attempt or not reports or record.note.get("added"):
            return
        has_curve = len(reports) > 1 or reports[0].step < (record.note.get(LENGTH) or 0)
        self.has_curve |= has_curve
        if not self.every and len(reports) > 1:
            self.every = max(1, min(b.step - a.step for a, b in pairwise(reports)))
        is_tracked = bool(record.note.get("tracks")) or record.checkpoint is not None
        if is_tracked:
            self.n_tracked += 1
            self.last_tracked = max(self.last_tracked, record.number)
        elif has_curve and record.state is not State.FAILED:
            self.n_untracked += 1
            self.untracked = tuple(sorted((*self.untracked, record.number))[-_FORGOTTEN:])
        self._judge(record, is_tracked)

    def _judge(self, record: TrialRecord, is_tracked: bool) -> None:
        """Whether it went on where it was, where it was paused before."""
        if record.note.get("n_restarts") or (is_tracked and record.state is State.PAUSED and record.checkpoint is None):
            self.n_broken += 1
        elif record.attempt > 1 and record.checkpoint is not None and record.state is not State.WAITING:
            self.n_restored += 1


def evidence_of(history: History, looked: int) -> Evidence:
    """What is known of trainings; nothing where steps are folds or repeats.

    Args:
        history: of the study.
        looked: how many finished trials are looked at, for what must not change with each of them.
    """
    if not history.n_steps or history.study.summary == "mean":
        return Evidence()
    done = history.fold("auto evidence", _Count, _Count.add)
    count = replace(done)
    for record in history.unfinished:
        count.add(record)
    if not count.has_curve or history.max_steps is None:
        return Evidence()
    found = Evidence(
        steps=history.max_steps,
        every=count.every or 1,
        n_tracked=count.n_tracked,
        n_untracked=count.n_untracked,
        n_restored=count.n_restored,
        n_broken=count.n_broken,
        n_paused=history.count(State.PAUSED),
        has_forgotten=len(count.untracked) == _FORGOTTEN and count.untracked[0] > count.last_tracked,
    )
    return replace(found, order=order_at(history, found.looked_at or 1, looked))


def order_at(history: History, step: int, n_finished: int | None = None) -> Order:
    """How well the order at a step predicts the final one.

    Args:
        history: of the study.
        step: where the early values are taken.
        n_finished: of the first so many finished trials; all by default.
    """
    columns = history.columns
    rows = slice(n_finished)
    is_complete = columns.states[rows] == STATES.index(State.COMPLETE)
    numbers, losses = columns.numbers[rows][is_complete], columns.losses[rows][is_complete, 0]
    if not len(numbers):
        return _NO_ORDER
    rung = history.rung(step)
    # What began after the last of them is left out, so that the answer stays until the rules look again.
    is_old = rung.numbers <= numbers.max() if n_finished is not None else np.ones(len(rung.numbers), dtype=bool)
    finals = np.full(len(history), np.nan)
    finals[numbers] = losses
    return early_order(rung.losses[is_old], finals[rung.numbers[is_old]])
