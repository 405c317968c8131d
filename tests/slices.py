"""A scheduler for tests of pausing: no rung, no comparison, just slices."""

from __future__ import annotations

from dataclasses import dataclass

from honed.history import History
from honed.records import Decision, Resume, Start, State, TrialRecord
from honed.schedulers.base import Move


@dataclass(frozen=True)
class Slices:
    """Every trial in slices of so many steps, one trial after the other."""

    size: int = 1

    def next(self, history: History) -> Move:
        for record in history.unfinished:
            if record.state is State.PAUSED:
                return Resume(number=record.number, until=(record.last_step or 0) + self.size)
        return Start(until=self.size)

    def decide(self, history: History, trial: TrialRecord) -> Decision:
        return Decision.CONTINUE
