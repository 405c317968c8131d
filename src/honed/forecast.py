"""What a run will take: trials, steps, time, disk and GPU-hours, said once its first trainings have shown what a step costs.

Where trainings are paused, a study of so many trials spends what asynchronous halving would (``freeze_thaw/budget``); else each
trial is expected to take as many steps as those that have finished. The time that is left is told from what steps cost, and
later in the run from how fast all workers together got on, which has decisions, saving and waiting in it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from honed.checkpoints.sizes import format_size
from honed.clock import Clock
from honed.costs import costs_of, seconds_of
from honed.durations import shown
from honed.events import Event, Listener, Notice, RunForecast, RunStarted, TrialEnded, TrialStarted
from honed.freeze_thaw.budget import total_steps
from honed.history import History
from honed.records import State
from honed.worker import Limits

LEAST_SECONDS = 30.0
"""Runs that are expected to be over sooner need no plan."""

_EVERY_SECONDS = 1.0
_ROUNDS = 2  # trainings of each worker that ended, after which their pace is known


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a study takes in all, as far as it can be told; None where it cannot.

    Attributes:
        trials: how many count.
        steps: of all trainings, those done included; None where trainings have no steps.
        steps_left: of them.
        seconds: of training that are left, for one worker.
        train_seconds: of training in all.
        n_paused: how many trials may stand paused at once.
    """

    trials: int | None
    steps: int | None
    steps_left: int | None
    seconds: float
    train_seconds: float
    n_paused: int

    def cut(self, share: float) -> Forecast:
        """What of it a run does that has time for such a share of what is left."""
        steps, left = self.steps, self.steps_left
        if steps is not None and left is not None:
            steps, left = steps - left + int(left * share), int(left * share)
        seconds = self.seconds * share
        trained = self.train_seconds - self.seconds + seconds
        return replace(self, trials=None, steps=steps, steps_left=left, seconds=seconds, train_seconds=trained)


def forecast(history: History, limits: Limits) -> Forecast | None:
    """What is to be expected; None while no limit of trials, steps or GPU time, or no duration, is known."""
    costs, full = costs_of(history), history.max_steps
    if full is None or not history.n_steps or costs.step_seconds is None:
        return _of_trials(history, limits)
    total = _total(history, limits, full)
    per_step = costs.seconds / history.n_steps if costs.seconds else costs.step_seconds
    if limits.train_seconds is not None:
        affordable = history.n_steps + int(max(limits.train_seconds - costs.seconds, 0.0) / per_step)
        total = affordable if total is None else min(total, affordable)
    if total is None:
        return None
    left, paused = max(total - history.n_steps, 0), history.count(State.PAUSED)
    n = limits.n_trials or round(total * len(history) / history.n_steps)
    return Forecast(
        trials=limits.n_trials, steps=max(total, history.n_steps), steps_left=left, seconds=left * per_step,
        train_seconds=costs.seconds + left * per_step, n_paused=n if paused else 0,
    )  # fmt: skip


def _total(history: History, limits: Limits, full: int) -> int | None:
    """Steps of the study by its limits of trials and of steps."""
    found = [] if limits.total_steps is None else [limits.total_steps]
    if limits.n_trials is not None:
        paused = [record.last_step or full for record in history.unfinished if record.state is State.PAUSED]
        if paused:
            found.append(total_steps(limits.n_trials, min(paused), full))
        else:
            ended = [r.last_step for r in history.finished if r.state is not State.FAILED and r.last_step]
            found.append(round(limits.n_trials * (statistics.fmean(ended) if ended else full)))
    return min(found) if found else None


def _of_trials(history: History, limits: Limits) -> Forecast | None:
    """Of trainings without steps."""
    took = [seconds_of(record) for record in history.finished if record.state is not State.FAILED]
    if limits.n_trials is None or not took:
        return None
    each, n = statistics.median(took), max(limits.n_trials - len(took), 0)
    return Forecast(
        trials=limits.n_trials, steps=None, steps_left=None, seconds=n * each, train_seconds=sum(took) + n * each,
        n_paused=0,
    )  # fmt: skip


class Forecaster:
    """Listens to a run, says once what it will take, and tells displays how long it still takes.

    Args:
        look: the study as far as it is known.
        limits: of the run.
        sizes: bytes of the checkpoints that are there.
        checkpoint_budget: bytes that they may take.
        clock: of the run.
        tell: hears the plan and the forecasts.
    """

    def __init__(
        self,
        look: Callable[[], History],
        limits: Limits,
        sizes: Callable[[], Mapping[str, int]],
        checkpoint_budget: int | None,
        clock: Clock,
        tell: Listener,
    ) -> None:
        self._look, self._limits, self._clock, self._tell = look, limits, clock, tell
        self._sizes, self._checkpoint_budget = sizes, checkpoint_budget
        self._begun = self._asked = 0.0
        self._running: set[int] = set()
        self._n_workers, self._n_ended, self._first = 1, 0, (0.0, 0)
        self._has_said = False

    def __call__(self, event: Event) -> None:
        """Takes note; speaks when a training has ended or paused."""
        match event:
            case RunStarted():
                self._begun, self._n_ended, self._running = self._clock.monotonic(), 0, set()
                self._asked = self._begun - _EVERY_SECONDS
            case TrialStarted():
                self._running.add(event.trial.number)
                self._n_workers = max(self._n_workers, len(self._running))
            case TrialEnded():
                self._running.discard(event.trial.number)
                self._ended()

    def _ended(self) -> None:
        now = self._clock.monotonic()
        self._n_ended += 1
        if now - self._asked < _EVERY_SECONDS and self._n_ended > 1:
            return
        self._asked, history = now, self._look()
        if self._n_ended == 1:
            self._first = (now, _done(history))
        found, timeout = forecast(history, self._limits), self._limits.timeout
        allowed = math.inf if timeout is None else max(timeout - (now - self._begun), 0.0)
        left = allowed if found is None else self._seconds_left(found, history, now)
        if math.isfinite(min(left, allowed)):
            self._tell(RunForecast(seconds_left=min(left, allowed)))
        if found is None:
            return
        if left > allowed:
            found, left = found.cut(allowed / left), allowed
        if not self._has_said and self._n_ended >= min(self._n_workers, 3):
            self._has_said = True
            whole = now - self._begun + left
            if whole >= LEAST_SECONDS:
                from honed.explain.words import unit  # not before there is something to say

                self._tell(Notice(level="info", text=self._plan(found, whole, unit(history))))

    def _seconds_left(self, found: Forecast, history: History, now: float) -> float:
        """Of the run."""
        begun, n_before = self._first
        steps, seconds = _done(history) - n_before, now - begun
        left = found.seconds / self._n_workers
        if steps > 0 and seconds > 0.0 and self._n_ended > _ROUNDS * self._n_workers:
            to_do = (self._limits.n_trials or 0) - history.n_finished if found.steps_left is None else found.steps_left
            left = max(to_do, 0) * seconds / steps
        return left

    def _plan(self, found: Forecast, whole: float, step_name: str) -> str:
        parts = [] if found.trials is None else [f"{found.trials:,} trial{'s' if found.trials > 1 else ''}"]
        if found.steps is not None:
            each = found.train_seconds / max(found.steps, 1)
            parts.append(f"{found.steps:,} {step_name}s of {shown(each)}")
        if self._n_workers > 1:
            parts.append(f"{self._n_workers} workers")
        if found.n_paused:
            sizes = [size for size in self._sizes().values() if size]
            if sizes:
                whole_size = int(statistics.median(sizes) * found.n_paused)
                budget = self._checkpoint_budget
                parts.append(
                    f"up to {format_size(whole_size if budget is None else min(whole_size, budget))} of checkpoints"
                )
        if self._limits.gpus_per_trial:
            parts.append(f"{_hours(found.train_seconds * self._limits.gpus_per_trial / 3600.0)} GPU-hours")
        return f"Expected in all: about {shown(whole)}; {', '.join(parts)}."


def _done(history: History) -> int:
    """Steps, or finished trials where there are none."""
    return history.n_steps or history.n_finished


def _hours(hours: float) -> str:
    return f"{hours:.2g}" if hours < 10 else f"{hours:,.0f}"
