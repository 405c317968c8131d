"""One line for each trial that ends, in the style of a log.

For example::

    [I 2020-09-11 17:26:10,790] Trial 3 finished with value: 0.95 and parameters: {'lr': 0.02}. Best is trial 3 ...
    [I 2020-09-11 17:26:10,795] Trial 99 pruned.
    [W 2020-09-11 17:26:11,002] Trial 4 failed (oom): CUDA out of memory. Parameters: {'lr': 0.3}.

When more than ``MOST_LINES`` trials end within a second, one line a second stands for all of them until they slow
down: ``... 950 more trials, best 0.0123 (trial 17)``. Warnings and notices are never left out.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any, Literal, Self

from honed.clock import Clock
from honed.display.output import Output
from honed.events import Event, Notice, RunEnded, RunStarted, TrialEnded
from honed.failures import error_line
from honed.records import Cause, State, StudyRecord, TrialRecord

Level = Literal["I", "W"]
Write = Callable[[Level, str, str], None]
"""Takes the level, the prefix with the time, and the text of one line."""

MOST_LINES = 20
"""Lines about trials in one second; more are summed up."""
MOST_CHARACTERS = 500
"""Of an error's text."""

_NO_WARNING = (Cause.INFEASIBLE, Cause.CANCELLED)  # a result, and somebody's wish


class Plain:
    """Lines, or with ``is_quiet`` warnings only."""

    def __init__(self, output: Output, clock: Clock, *, is_quiet: bool) -> None:
        self._output = output
        self._is_quiet = is_quiet
        self._log = Log(self._write, clock)
        self._lock = threading.RLock()  # lease keepers and signal handlers have something to say, too

    def __call__(self, event: Event) -> None:
        with self._lock:
            self._log.hear(event)

    def close(self) -> None:
        with self._lock:
            self._log.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, level: Level, prefix: str, text: str) -> None:
        if level == "W" or not self._is_quiet:
            self._output.write(f"{prefix} {text}\n")
            self._output.flush()


class Log:
    """Turns events into lines, and very many lines into few."""

    def __init__(self, write: Write, clock: Clock) -> None:
        self._write = write
        self._clock = clock
        self._study: StudyRecord | None = None
        self._latest: TrialEnded | None = None
        self._since = -math.inf  # when the present second began
        self._n = 0  # trials that ended in it
        self._n_hidden = 0  # and did not get a line
        self._is_flood = False  # the second before had too many

    def hear(self, event: Event) -> None:
        """Writes the line or lines of an event, if it has any."""
        now = self._clock.monotonic()
        if now - self._since >= 1:
            self._is_flood = self._n > MOST_LINES
            self.flush()
            self._since, self._n = now, 0
        match event:
            case RunStarted():
                self._study = event.study
            case TrialEnded():
                self._hear_trial(event)
            case Notice():
                self._line("W" if event.level == "warning" else "I", event.text)
            case RunEnded():
                self.flush()
                latest = self._latest
                if latest is None or latest.n_trials is None or latest.n_counted < latest.n_trials:
                    self._line("I", f"The run ended: {event.reason}.")  # else it ended as everybody expected

    def flush(self) -> None:
        """Writes the line that stands for those held back."""
        if self._n_hidden:
            trials = "trial" if self._n_hidden == 1 else "trials"
            best = best_text(self._latest.best if self._latest is not None else None)
            self._line("I", f"... {self._n_hidden} more {trials}" + (f", {best}" if best else ""))
            self._n_hidden = 0

    def _hear_trial(self, event: TrialEnded) -> None:
        self._latest = event
        trial = event.trial
        if trial.state is State.FAILED and trial.cause not in _NO_WARNING:
            self._line("W", trial_text(event, self._study))
            return
        self._n += 1
        if self._is_flood or self._n > MOST_LINES:
            self._n_hidden += 1
        else:
            self._line("I", trial_text(event, self._study))

    def _line(self, level: Level, text: str) -> None:
        now = self._clock.now().astimezone()
        self._write(level, f"[{level} {now:%Y-%m-%d %H:%M:%S},{now.microsecond // 1000:03d}]", text)


# --------------------------------------------------------------------------------------------------------- words


def trial_text(event: TrialEnded, study: StudyRecord | None = None) -> str:
    """What became of a trial, in one line."""
    trial = event.trial
    match trial.state:
        case State.COMPLETE:
            told = f"{_values(trial)} and parameters: {_params(trial)}."
            return f"Trial {trial.number} finished with {told}{_best(event)}"
        case State.STOPPED:
            return f"Trial {trial.number} pruned."
        case State.FAILED:
            error = error_line(trial.message)[:MOST_CHARACTERS].rstrip(".")
            reason = f" ({trial.cause})" if trial.cause is not None else ""
            told = f": {error}" if error else ""
            return f"Trial {trial.number} failed{reason}{told}. Parameters: {_params(trial)}."
        case State.PAUSED:
            return f"Trial {trial.number} paused{_where(trial, study)}."
        case State.WAITING:
            return f"Trial {trial.number} given back{_where(trial, study)}; any worker may go on with it."
        case _:
            return f"Trial {trial.number} is run by another worker now."


def best_text(best: TrialRecord | None) -> str:
    """``best 0.0123 (trial 17)``; empty while there is none, or with several objectives."""
    if best is None or best.values is None or len(best.values) > 1:
        return ""
    return f"best {best.values[0]:.5g} (trial {best.number})"


def _values(trial: TrialRecord) -> str:
    values = trial.values or ()
    return f"value: {_short(values[0])}" if len(values) == 1 else f"values: {[_short(value) for value in values]}"


def _params(trial: TrialRecord) -> dict[str, Any]:
    """Params with four digits, as a line can hold them; reports and exports give all digits."""
    return {name: _short(value, 4) if isinstance(value, float) else value for name, value in trial.params.items()}


def _short(value: float, digits: int = 6) -> float:
    return float(f"{value:.{digits}g}")


def _best(event: TrialEnded) -> str:
    best = event.best
    if best is None or best.values is None or len(best.values) > 1:
        return ""
    return f" Best is trial {best.number} with value: {_short(best.values[0])}."


def _where(trial: TrialRecord, study: StudyRecord | None) -> str:
    """`` at step 9 with value: 0.93``, as far as it is known."""
    if not trial.reports:
        return ""
    latest = trial.reports[-1]
    values = [latest.values[name] for name in study.metrics if name in latest.values] if study is not None else []
    if not values:
        return f" at step {latest.step}"
    shown = f"value: {_short(values[0])}" if len(values) == 1 else f"values: {[_short(value) for value in values]}"
    return f" at step {latest.step} with {shown}"
