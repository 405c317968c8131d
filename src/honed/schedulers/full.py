"""Every trial is trained to its end: queued trials first, then new ones."""

from __future__ import annotations

from dataclasses import dataclass

from honed.history import History
from honed.records import Decision, TrialRecord
from honed.schedulers.base import Move
from honed.schedulers.moves import start


@dataclass(frozen=True, slots=True)
class Full:
    """No early decisions: queued trials by number, then new ones, each to the end."""

    def next(self, history: History) -> Move:
        return start(history)

    def decide(self, history: History, trial: TrialRecord) -> Decision:
        return Decision.CONTINUE
