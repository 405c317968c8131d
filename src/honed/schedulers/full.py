"""Every trial is trained to its end: queued trials first, then new ones."""

from __future__ import annotations

from dataclasses import dataclass

from honed.history import History
from honed.records import Decision, Resume, Start, State, TrialRecord
from honed.schedulers.base import Move


@dataclass(frozen=True, slots=True)
class Full:
    """No early decisions: queued and released trials by number, then new ones, each to the end."""

    def next(self, history: History) -> Move:
        if history.count(State.WAITING):
            return Resume(number=next(r.number for r in history.unfinished if r.state is State.WAITING))
        return Start()

    def decide(self, history: History, trial: TrialRecord) -> Decision:
        return Decision.CONTINUE
