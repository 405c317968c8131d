"""What the live block says: one line about the study, then how far the running trainings are.

With one training::

    mnist: 37 of 100 trials, best 0.9512 (trial 12), 0:03:10 elapsed, about 0:05:20 left
    trial 37 (0:00:04): lr=0.02195, n_layers=1
         total [############################......................] 57.17%
    this epoch [###################################...............] 71.73%
           134 iter, 5 epoch / 10 epochs
        31.547 iters/sec. Estimated time to finish: 0:00:03.181785.

and with several one line for each. Text only; ``live.py`` puts it on the screen.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from datetime import timedelta
from statistics import median

from honed.clock import Clock
from honed.display.lines import best_text
from honed.events import Event, RunForecast, RunStarted, TrialEnded, TrialStarted
from honed.progress import Position, bar_width, progress_line, progress_lines
from honed.records import State, TrialRecord

MOST_TRAININGS = 16
"""Lines for running trainings; more are counted."""

MOST_DURATIONS = 101
"""Of so many latest trials the median duration is taken."""


@dataclass(frozen=True, slots=True)
class Training:
    """A running trial, and since when (monotonic seconds)."""

    trial: TrialRecord
    position: Position
    since: float


class Board:
    """Counts along with a run; ``lines`` may be called from another thread than ``hear``."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._name = ""
        self._began = 0.0
        self._n_counted = 0
        self._n_trials: int | None = None
        self._best: TrialRecord | None = None
        self._running: dict[int, Training] = {}  # replaced as a whole, never changed: another thread reads it
        self._spent: dict[int, float] = {}  # seconds of trials that are paused
        self._durations: deque[float] = deque(maxlen=MOST_DURATIONS)
        self._median: float | None = None
        self._end_at: float | None = None  # as it was foretold last

    def hear(self, event: Event) -> None:
        """Takes note."""
        match event:
            case RunStarted():
                self._name, self._began = event.study.name, self._clock.monotonic()
                self._n_counted, self._n_trials = event.n_counted, event.n_trials
                self._running, self._best, self._end_at = {}, None, None
            case TrialStarted():
                training = Training(event.trial, event.position, self._clock.monotonic())
                self._running = self._running | {event.trial.number: training}
            case RunForecast():
                self._end_at = self._clock.monotonic() + event.seconds_left
            case TrialEnded():
                self._n_counted, self._n_trials = event.n_counted, event.n_trials
                self._best = event.best
                self._end(event.trial)

    def _end(self, trial: TrialRecord) -> None:
        training = self._running.get(trial.number)
        if training is None:
            return
        self._running = {number: other for number, other in self._running.items() if number != trial.number}
        seconds = self._clock.monotonic() - training.since + self._spent.pop(trial.number, 0.0)
        if trial.state in (State.COMPLETE, State.STOPPED):
            self._durations.append(seconds)
            self._median = median(self._durations)
        elif not trial.state.is_finished:
            self._spent[trial.number] = seconds

    def lines(self, columns: int) -> list[str]:
        """The block as it is now, for a terminal of so many columns."""
        now = self._clock.monotonic()
        running = sorted(self._running.values(), key=lambda training: training.trial.number)
        lines = [self._study_line(now, running)]
        if len(running) == 1:
            lines += _training_lines(running[0], now, columns)
        else:
            width = min(20, bar_width(columns - 30))
            lines += [_training_line(training, now, width) for training in running[:MOST_TRAININGS]]
            if len(running) > MOST_TRAININGS:
                lines.append(f"and {len(running) - MOST_TRAININGS} more trainings")
        return [line if len(line) <= columns else line[: max(columns - 1, 0)] + "…" for line in lines]

    def _study_line(self, now: float, running: list[Training]) -> str:
        of = f" of {self._n_trials}" if self._n_trials is not None else ""
        parts = [f"{self._name}: {self._n_counted}{of} {'trial' if self._n_counted == 1 and not of else 'trials'}"]
        best = best_text(self._best)
        if best:
            parts.append(best)
        if len(running) > 1:
            parts.append(f"{len(running)} running")
        parts.append(f"{_clock_text(now - self._began)} elapsed")
        left = self._seconds_left(now, running)
        if left is not None:
            parts.append(f"about {_clock_text(left)} left")
        return ", ".join(parts)

    def _seconds_left(self, now: float, running: list[Training]) -> float | None:
        """As foretold; else what is not begun, at the median duration and shared by those that run, and the rest of these."""
        if self._end_at is not None and running:
            return max(self._end_at - now, 0.0)
        if self._n_trials is None or self._median is None:
            return None
        rest = [max(self._median - (now - training.since), 0.0) for training in running]
        to_come = max(self._n_trials - self._n_counted, 0)
        if not to_come and not running:
            return None
        return (to_come * self._median + math.fsum(rest)) / max(len(running), 1)


def _training_lines(training: Training, now: float, columns: int) -> list[str]:
    position = training.position
    params = ", ".join(f"{name}={_short(value)}" for name, value in training.trial.params.items())
    title = f"trial {training.trial.number} ({_clock_text(now - training.since)})" + (f": {params}" if params else "")
    if not (position.iteration or position.n_steps or position.step):
        return [title]
    return [title, *progress_lines(position, _seconds(position, now), bar_width(columns))]


def _training_line(training: Training, now: float, width: int) -> str:
    position = training.position
    title = f"trial {training.trial.number:>4} ({_clock_text(now - training.since)})"
    if not (position.iteration or position.n_steps or position.step):
        return title
    return f"{title}  {progress_line(position, _seconds(position, now), width)}"


def _seconds(position: Position, now: float) -> float:
    return now - position.started if position.started else 0.0


def _clock_text(seconds: float) -> str:
    return str(timedelta(seconds=round(max(seconds, 0.0))))


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
