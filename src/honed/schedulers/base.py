"""The scheduler port: which trial next, how far, and stop this one?

A scheduler is a frozen dataclass of settings and two pure functions of the history. ``next`` is asked by a free worker,
``decide`` after each report of a running trial. A rule that only promotes lets ``decide`` pause at the grant; a rule that only
stops lets ``next`` start new trials.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from honed.history import History
from honed.records import Decision, Resume, Start, TrialRecord, Wait

Move = Start | Resume | Wait


@runtime_checkable
class Scheduler(Protocol):
    """Which trial next, how far, and stop this one?"""

    def next(self, history: History) -> Move:
        """What a free worker should do now."""
        ...

    def decide(self, history: History, trial: TrialRecord) -> Decision:
        """Whether the running ``trial``, with its reports so far, goes on."""
        ...
