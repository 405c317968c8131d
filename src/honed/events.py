"""What a run tells those who watch it: a display, a log, a test. Plain frozen values, sent to one function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from honed.progress import Position
from honed.records import StudyRecord, TrialRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    """A worker begins.

    Attributes:
        study: which study.
        n_counted: trials that count towards ``n_trials`` already.
        n_trials: the study's total, if one was given.
    """

    study: StudyRecord
    n_counted: int
    n_trials: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialStarted:
    """A trial begins or goes on; ``position`` is updated while it trains and may be read at any time."""

    trial: TrialRecord
    position: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialEnded:
    """A trial was told, paused or released: its record as stored, and the best finished trial so far."""

    trial: TrialRecord
    best: TrialRecord | None
    n_counted: int
    n_trials: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One sentence for the user."""

    level: Literal["info", "warning"]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunForecast:
    """How long a run is expected to go on; told now and then, when a training has ended."""

    seconds_left: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded:
    """A worker is done; ``reason`` says why, for example ``"all 100 trials are done"``."""

    reason: str


Event = RunStarted | TrialStarted | TrialEnded | Notice | RunForecast | RunEnded
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The listener of a quiet run."""
