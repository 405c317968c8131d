"""What decisions cost: CPU time of each ``next`` and ``suggest``, by how much of the study had been trained."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from honed.domains import Scalar
from honed.history import History
from honed.records import Decision, TrialRecord
from honed.samplers.base import Proposal, Sampler, Stream
from honed.schedulers.base import Move, Scheduler
from honed.space import Space

NEAR_250 = (200, 260)
"""The points at which a decision's time is judged: reported steps in the history."""
SEARCH_STEPS = 1_000
"""How long a search is whose decisions are summed up."""


@dataclass(slots=True)
class Meter:
    """The decisions of one study: points seen at each, and its CPU seconds."""

    points: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @contextmanager
    def deciding(self, n_points: int, *, is_new: bool) -> Iterator[None]:
        """Times a block; one that is not new adds to the decision before."""
        begun = time.process_time()
        yield
        seconds = time.process_time() - begun
        if is_new or not self.seconds:
            self.points.append(n_points)
            self.seconds.append(seconds)
        else:
            self.seconds[-1] += seconds

    def median_near_250(self) -> float | None:
        """Median CPU seconds of a decision that sees about 250 points; None when there was none."""
        low, high = NEAR_250
        near = [s for n, s in zip(self.points, self.seconds, strict=True) if low <= n <= high]
        return float(np.median(near)) if near else None

    def of_search(self, n_trained: int) -> float | None:
        """CPU seconds of all decisions of the first thousand steps; None when fewer were trained."""
        if n_trained < SEARCH_STEPS:
            return None
        return float(sum(s for n, s in zip(self.points, self.seconds, strict=True) if n < SEARCH_STEPS))


@dataclass(frozen=True, slots=True, eq=False)
class Timed:
    """A sampler and a scheduler whose decisions are timed: a decision is one ``next`` and the ``suggest`` that may follow."""

    sampler: Sampler
    scheduler: Scheduler
    meter: Meter

    def next(self, history: History) -> Move:
        with self.meter.deciding(history.n_steps, is_new=True):
            return self.scheduler.next(history)

    def decide(self, history: History, trial: TrialRecord) -> Decision:
        with self.meter.deciding(history.n_steps, is_new=False):
            return self.scheduler.decide(history, trial)

    def suggest(self, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> Proposal:
        with self.meter.deciding(history.n_steps, is_new=False):
            return self.sampler.suggest(history, space, rng, given)
