"""What a simulated study did: every trained step in the order in which it ended, and every change of a trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from honed.history import Floats, History, Ints

EventKind = Literal["start", "resume", "reclaim", "pause", "stop", "complete", "fail", "lost"]


@dataclass(frozen=True, slots=True)
class Event:
    """A change of one trial.

    Attributes:
        seconds: simulated time.
        kind: ``reclaim`` is a lost trial that a worker takes over; the others are what schedulers and trainings do.
        step: how many steps the trial's training had done.
        until: the grant, for start, resume and reclaim.
    """

    seconds: float
    worker: int
    number: int
    kind: EventKind
    step: int
    until: int | None = None


@dataclass(frozen=True, kw_only=True)
class Trace:
    """A finished simulation; k steps were trained, by all workers together.

    Attributes:
        history: all trials as samplers and schedulers saw them last.
        events: what happened to them, in order.
        reason: why it ended.
        seconds: [k] simulated time at which each step ended.
        numbers: [k] the trial that it belongs to.
        steps: [k] which of the trial's steps it was, from 1.
        losses: [k] the reported loss; NaN where nothing was reported.
    """

    history: History
    events: tuple[Event, ...]
    reason: str
    seconds: Floats
    numbers: Ints
    steps: Ints
    losses: Floats

    @property
    def n_steps(self) -> int:
        """The cost: steps trained by all workers, those that had to be trained again included."""
        return len(self.steps)

    @cached_property
    def best(self) -> Floats:
        """[k] the lowest loss seen after each trained step; infinite before the first."""
        seen = np.where(np.isnan(self.losses), np.inf, self.losses)
        return np.minimum.accumulate(seen)

    def best_after(self, n_steps: float) -> float:
        """The lowest loss seen within a cost in steps; infinite if there is none."""
        n = min(int(n_steps), self.n_steps)
        return float(self.best[n - 1]) if n > 0 else float("inf")

    def best_at(self, seconds: float) -> float:
        """The lowest loss seen within simulated time; infinite if there is none."""
        n = int(np.searchsorted(self.seconds, seconds, side="right"))
        return float(self.best[n - 1]) if n > 0 else float("inf")

    @cached_property
    def steps_of(self) -> Mapping[int, int]:
        """Trial -> how many steps were trained for it."""
        numbers, counts = np.unique(self.numbers, return_counts=True)
        return dict(zip(numbers.tolist(), counts.tolist(), strict=True))

    @cached_property
    def n_repeated(self) -> int:
        """How many steps were trained that the same trial had trained before."""
        return self.n_steps - len(set(zip(self.numbers.tolist(), self.steps.tolist(), strict=True)))

    @cached_property
    def most_running(self) -> int:
        """The largest number of trials that ran at the same time."""
        running: set[int] = set()
        most = 0
        for event in self.events:
            if event.kind in ("start", "resume", "reclaim"):
                running.add(event.number)
                most = max(most, len(running))
            else:
                running.discard(event.number)
        return most
