"""The simulated storage: the one history of all workers, changed record by record, and what a trace is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from honed.history import History
from honed.outcome import summarize
from honed.records import VALUE, Cause, Delta, Report, State, StudyRecord, TrialRecord
from honed.space import Space
from honed.testing.simulate.trace import Event, EventKind, Trace

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


class Book:
    """One study's history in simulated time, and the log of what was trained."""

    def __init__(self, space: Space, seed: int) -> None:
        self.study = StudyRecord(name="simulated", seed=seed, space=space.to_json())
        self.history = History.empty(self.study, space)
        self.seconds = 0.0
        self.lost: dict[int, None] = {}  # numbers in the order in which their workers died
        self.events: list[Event] = []
        self._trained: list[tuple[float, int, int, float]] = []

    def add(self, record: TrialRecord) -> None:
        """A new trial."""
        now = self._now()
        self._extend(replace(record, created=now, started=now))

    def change(self, number: int, **changes: Any) -> TrialRecord:
        """Another state of a trial, with whatever else changes."""
        before = self.history[number]
        self._extend(replace(before, reports=(), **changes))
        return self.history[number]

    def finish(self, number: int, state: State, cause: Cause | None = None) -> None:
        """The end of a trial: its value is the best that it has reported."""
        values = None
        if state is not State.FAILED:
            curve = [(report.values[VALUE],) for report in self.history[number].reports]
            values = summarize(self.study, curve)
        self.change(number, state=state, values=values, cause=cause, finished=self._now())

    def report(self, number: int, step: int, loss: float) -> None:
        """The loss of a running trial, seen by all workers at once."""
        self._extend(None, (Report(number, step, {VALUE: loss}),))

    def lose(self, number: int) -> None:
        """Nobody holds the trial any more."""
        self.lost[number] = None
        self._extend(None)

    def note(self, worker: int, number: int, kind: EventKind, step: int, until: int | None = None) -> None:
        """Keeps an event for the trace."""
        self.events.append(Event(self.seconds, worker, number, kind, step, until))

    def trained(self, number: int, step: int, loss: float) -> None:
        """Keeps a paid step for the trace."""
        self._trained.append((self.seconds, number, step, loss))

    def trace(self, reason: str) -> Trace:
        """All that was kept."""
        seconds, numbers, steps, losses = zip(*self._trained, strict=True) if self._trained else ((), (), (), ())
        return Trace(
            history=self.history,
            events=tuple(self.events),
            reason=reason,
            seconds=np.array(seconds, dtype=np.float64),
            numbers=np.array(numbers, dtype=np.int64),
            steps=np.array(steps, dtype=np.int64),
            losses=np.array(losses, dtype=np.float64),
        )

    def _now(self) -> datetime:
        return _EPOCH + timedelta(seconds=self.seconds)

    def _extend(self, record: TrialRecord | None, reports: Sequence[Report] = ()) -> None:
        trials = () if record is None else (record,)
        revision = self.history.revision + 1
        self.history = self.history.extend(
            Delta(revision=revision, trials=trials, reports=tuple(reports), lost=tuple(self.lost))
        )
