"""How many steps a study may still spend: what it was given, or what halving would spend on as many trials."""

from __future__ import annotations

import math
from dataclasses import dataclass

from honed.algorithms.rungs import geometric_steps
from honed.history import History
from honed.records import State

ETA = 3
LEAST_FIRST = 3
"""Steps of the first slice where the length of a training is not known."""

_SHARE = 1 - 1 / ETA


def first_slice(full: int) -> int:
    """r0: three evaluations, or a twentieth of a full training."""
    return min(full, max(LEAST_FIRST, math.ceil(0.05 * full)))


def total_steps(n_trials: int, first: int, full: int) -> int:
    """What asynchronous halving would spend: N r0 (1 + K (1 - 1/3)), K = log_3(T / r0); one full training at least."""
    levels = math.log(max(full / first, 1.0), ETA)
    return max(math.ceil(n_trials * first * (1.0 + levels * _SHARE)), full)


def rungs(first: int, full: int) -> tuple[int, ...]:
    """The steps of the insurance's promotions; T is not among them."""
    return geometric_steps(first, ETA, full)


@dataclass(frozen=True, slots=True)
class Budget:
    """What is left.

    Attributes:
        total: steps of the whole study.
        free: steps that nobody was granted yet, and that no trial needs which the study is yet to start.
        n_to_start: trials that the study is yet to start, where their number is its only limit.
        n_workers: how many seem to be at work.
        full: the length of a full training.
    """

    total: int
    free: int
    n_to_start: int
    n_workers: int
    full: int

    @property
    def share(self) -> int:
        """The free steps for one worker."""
        return max(self.free // self.n_workers, 1)

    @property
    def is_closing(self) -> bool:
        """Whether so few steps are free that nothing new is begun."""
        return self.free <= min(2 * self.full, 0.2 * self.total)

    @property
    def is_last(self) -> bool:
        """Whether what is free goes to one trial."""
        return self.free <= min(self.full, 0.1 * self.total)


def budget_of(history: History, first: int, full: int) -> Budget | None:
    """The budget of a study with a known number of steps or of trials; None where it has no end."""
    granted = history.n_steps
    for record in history.unfinished:
        if record.state is State.RUNNING:
            until = full if record.until is None else min(record.until, full)
            granted += max(until - (record.last_step or 0), 0)
    n_workers = history.count(State.RUNNING) + 1
    if history.max_total_steps is not None:
        return Budget(history.max_total_steps, history.max_total_steps - granted, 0, n_workers, full)
    if history.max_trials is None:
        return None
    total, n = total_steps(history.max_trials, first, full), max(history.max_trials - history.n_counted, 0)
    return Budget(total, total - granted - (n + _n_queued(history)) * first, n, n_workers, full)


def _n_queued(history: History) -> int:
    if not history.count(State.WAITING):
        return 0
    return sum(1 for record in history.unfinished if record.state is State.WAITING and not record.attempt)
