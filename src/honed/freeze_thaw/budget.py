"""How many steps a study may still spend: what it was given in steps or time, or what halving would spend on as many trials."""

from __future__ import annotations

import math
from dataclasses import dataclass

from honed.algorithms.rungs import geometric_steps
from honed.costs import Costs, costs_of
from honed.history import History
from honed.history.rungs import TO_THE_END
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
        n_to_start: trials that the study is yet to start, where their number is its tightest limit.
        n_workers: how many seem to be at work.
        full: the length of a full training.
        own_total, own: steps for which one worker has the time, in the whole run and from now on.
        is_time: whether ``free`` are steps of the usual length that the time allows, not steps that are counted.
    """

    total: int
    free: int
    n_to_start: int
    n_workers: int
    full: int
    own_total: int = TO_THE_END
    own: int = TO_THE_END
    is_time: bool = False

    @property
    def left(self) -> int:
        """The steps that one trial may have, if all that is free is its own."""
        return self.left_at(1.0)

    def left_at(self, pace: float) -> int:
        """The same for a trial of which so many steps fit into the time of a usual one."""
        return min(int(self.free * pace) if self.is_time else self.free, self._own_at(pace))

    @property
    def share(self) -> int:
        """The free steps for one worker."""
        return self.share_at(1.0)

    def share_at(self, pace: float) -> int:
        """The free steps for one worker, for a trial of which so many steps fit into the time of a usual one."""
        shared = self.free // self.n_workers
        return max(min(int(shared * pace) if self.is_time else shared, self._own_at(pace)), 1)

    def _own_at(self, pace: float) -> int:
        return self.own if self.own >= TO_THE_END else int(self.own * pace)

    @property
    def is_closing(self) -> bool:
        """Whether so few steps are free that nothing new is begun."""
        return self._are_few(2 * self.full, 0.2)

    @property
    def is_last(self) -> bool:
        """Whether what is free goes to one trial."""
        return self._are_few(self.full, 0.1)

    def _are_few(self, steps: int, part: float) -> bool:
        return self.free <= min(steps, part * self.total) or self.own <= min(steps, part * self.own_total)


def budget_of(history: History, first: int, full: int, costs: Costs | None = None) -> Budget | None:
    """The budget by the tightest of all limits; None where a study has no end, or none that could be told in steps yet."""
    allowance = history.allowance
    costs = costs_of(history) if costs is None else costs
    own_total, own = _own(history, costs)
    granted, n_workers = _granted(history, full), history.count(State.RUNNING) + 1
    found = []  # what is left, and the budget: the smallest is the tightest
    if allowance.steps is not None:
        free = allowance.steps - history.n_steps - granted
        found.append((free, Budget(allowance.steps, free, 0, n_workers, full, own_total, own)))
    if allowance.train_seconds is not None and costs.step_seconds is not None:
        total = int(allowance.train_seconds / costs.step_seconds)
        free = int((allowance.train_seconds - costs.seconds) / costs.step_seconds) - granted
        found.append((free, Budget(total, free, 0, n_workers, full, own_total, own, is_time=True)))
    if allowance.trials is not None:
        total, n = total_steps(allowance.trials, first, full), max(allowance.trials - history.n_counted, 0)
        left = total - history.n_steps - granted
        free = left - (n + _n_queued(history)) * first
        n = n if left <= own * n_workers else 0  # there is no time to start them all
        found.append((left, Budget(total, free, n, n_workers, full, own_total, own)))
    if not found and own != TO_THE_END:
        return Budget(TO_THE_END, TO_THE_END, 0, n_workers, full, own_total, own)
    return min(found, key=lambda each: each[0])[1] if found else None


def _own(history: History, costs: Costs) -> tuple[int, int]:
    """Steps for which the worker that asks has the time: in the whole run, and from now on."""
    allowance, step_seconds = history.allowance, costs.step_seconds
    if allowance.seconds_left is None or step_seconds is None:
        return TO_THE_END, TO_THE_END
    whole = allowance.seconds_left if allowance.run_seconds is None else allowance.run_seconds
    return int(whole / step_seconds), int(allowance.seconds_left / step_seconds)


def _granted(history: History, full: int) -> int:
    """Steps that running trials may still take."""
    granted = 0
    for record in history.unfinished:
        if record.state is State.RUNNING:
            until = full if record.goal is None else min(record.goal, full)
            granted += max(until - (record.last_step or 0), 0)
    return granted


def _n_queued(history: History) -> int:
    if not history.count(State.WAITING):
        return 0
    return sum(1 for record in history.unfinished if record.state is State.WAITING and not record.attempt)
