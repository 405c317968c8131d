"""What trainings cost in time: the stopwatch of a running trial, and what a history knows of all of them.

A trial's note keeps ``seconds`` (of training, over all attempts), ``step_seconds``, ``save_seconds`` and ``restore_seconds``
(the last ones measured), and ``tracks`` once the trial can be paused. A training that ends in one go without any step needs
none of them: its row says when it started and finished.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from honed.history import History
from honed.memo import Facts
from honed.records import State, TrialRecord

NOTE_SECONDS = 30.0
"""Times are written with whatever changes the row anyway; reports alone take them along only so often."""

TRACKS = "tracks"
"""In the note of a trial that can be paused and resumed: something is tracked, or a checkpoint was written."""

_TIMES = ("step_seconds", "save_seconds", "restore_seconds")


class Stopwatch:
    """Measures one attempt at a trial; all times are seconds of one monotonic clock.

    Args:
        now: when the attempt began.
        note: of the trial, with what former attempts have measured.
        is_again: whether there were any.
    """

    __slots__ = ("_base", "_before", "_begun", "_first_at", "_first_step", "_is_again", "_knows_steps", "_ready_at",
                 "_saved", "_times", "_written_at")  # fmt: skip

    def __init__(self, now: float, note: Mapping[str, Any], *, is_again: bool = False) -> None:
        self._is_again = is_again
        self._begun = self._ready_at = self._first_at = self._written_at = now
        self._before = float(note.get("seconds", 0.0))
        self._times: dict[str, float] = {name: note[name] for name in _TIMES if name in note}
        self._knows_steps = "step_seconds" in self._times  # by a former attempt
        self._base = 0  # steps done before this attempt
        self._first_step: int | None = None  # the first step of this attempt that is over
        self._saved = 0.0  # seconds of saving since then, or since the training began

    @property
    def is_needed(self) -> bool:
        """Whether there is anything that the trial's row does not tell."""
        return self._is_again or self._first_step is not None or bool(self._times)

    def ready(self, step: int, now: float, is_restored: bool) -> None:
        """The training begins after ``step``: whatever went before, in this attempt, was getting there."""
        if self._first_step is not None:
            return
        self._base, self._ready_at, self._saved = step, now, 0.0
        if is_restored:
            self._times["restore_seconds"] = now - self._begun

    def mark(self, step: int, now: float) -> None:
        """A step has reported, or is over.

        The first step of an attempt warms caches and compilers up: it counts only where no other was ever measured.
        """
        first = self._first_step
        if first is not None and step > first:
            self._times["step_seconds"] = max(now - self._first_at - self._saved, 0.0) / (step - first)
        elif first is None or step == first:
            if not self._knows_steps:
                self._times["step_seconds"] = max(now - self._ready_at, 0.0) / max(step - self._base, 1)
            self._first_step, self._first_at, self._saved = step, now, 0.0

    def saved(self, seconds: float, whole: float) -> None:
        """A checkpoint was written.

        Args:
            seconds: that it took.
            whole: with what came along: the storage was told, an older checkpoint removed.
        """
        self._times["save_seconds"] = seconds
        self._saved += whole
        if self._first_step is None:
            self._ready_at += whole

    def note(self, now: float) -> dict[str, float]:
        """What to keep in the trial's note."""
        return {**self._times, "seconds": self._before + now - self._begun}

    def is_due(self, now: float) -> bool:
        """Whether times should be written though only reports are."""
        return now - self._written_at >= NOTE_SECONDS

    def written(self, now: float) -> None:
        """The times are in the storage."""
        self._written_at = now


# -------------------------------------------------------------------------------------------------- of all trials


@dataclass(slots=True)
class _Finished:
    """What finished trials have told; grows with the history."""

    seconds: float = 0.0
    steps: list[float] = field(default_factory=list)
    saves: list[float] = field(default_factory=list)
    restores: list[float] = field(default_factory=list)

    def add(self, record: TrialRecord) -> None:
        seconds, *times = _paid_for(record, None)
        self.seconds += seconds
        for value, into in zip(times, (self.steps, self.saves, self.restores), strict=True):
            if value is not None:
                into.append(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What trainings of a study cost; None where nothing was measured.

    Attributes:
        step_seconds: the median over trials.
        pause_seconds: of saving and restoring once, medians over trials.
        seconds: of training, all trials together.
        by_trial: seconds of a step of each unfinished trial that has measured its own: configurations differ.
    """

    step_seconds: float | None
    pause_seconds: float | None
    seconds: float
    by_trial: Mapping[int, float]

    def step_of(self, number: int) -> float | None:
        """Seconds of a step of one unfinished trial: its own, where they are known."""
        return self.by_trial.get(number, self.step_seconds)


def costs_of(history: History) -> Costs:
    """What trainings cost so far, as far as it was written."""
    return _costs.of(history)


def _costs_of(history: History, _: None) -> Costs:
    done = history.fold("costs", _Finished, _Finished.add)
    steps, saves, restores = [*done.steps], [*done.saves], [*done.restores]
    seconds, by_trial = done.seconds, dict[int, float]()
    unfinished = history.unfinished
    for record, (own_seconds, step, save, restore) in zip(unfinished, _paid.all_of(unfinished), strict=True):
        seconds += own_seconds
        if step is not None:
            steps.append(step)
            by_trial[record.number] = step
        if save is not None:
            saves.append(save)
        if restore is not None:
            restores.append(restore)
    pause = (statistics.median(saves) if saves else 0.0) + (statistics.median(restores) if restores else 0.0)
    return Costs(
        step_seconds=statistics.median(steps) if steps else None,
        pause_seconds=pause if saves or restores else None,
        seconds=seconds,
        by_trial=by_trial,
    )


def seconds_of(record: TrialRecord) -> float:
    """Seconds of training of one trial, as far as they were written; experiments from elsewhere cost nothing."""
    told = record.note.get("seconds")
    if told is not None:
        return float(told)
    if record.note.get("added") or record.started is None or record.finished is None:
        return 0.0
    return max((record.finished - record.started).total_seconds(), 0.0)


def promised_seconds(history: History) -> float:
    """Seconds of training of all trials, done or to be expected of running ones."""
    costs = costs_of(history)
    promised = costs.seconds
    if history.count(State.RUNNING):
        for record in history.unfinished:
            own = costs.step_of(record.number)
            if record.state is State.RUNNING and record.goal is not None and own is not None:
                promised += max(record.goal - (record.last_step or 0), 0) * own
    return promised


def _paid_for(record: TrialRecord, _: None) -> _Paid:
    """Seconds of training, of a step, of saving and of restoring: the last three where they were measured."""
    step, save, restore = (float(value) if (value := record.note.get(name)) else None for name in _TIMES)
    return seconds_of(record), step, save, restore


_Paid = tuple[float, float | None, float | None, float | None]
_paid = Facts(8192, _paid_for)  # of thousands of paused trials few change between two decisions
_costs = Facts(2, _costs_of)  # a decision asks several times
