"""A study without storage, sampler and clock: a scheduler is asked, given curves answer, and the history grows.

``Workers`` does what a number of workers do with a scheduler, one step of one trial at a time, in an order drawn from a seed::

    workers = Workers(ASHA(), lambda number, step: 1 / (step + number), n_steps=27, n_workers=8, n_trials=50)
    workers.run()
    workers.history.best, len(workers.steps)

Trials pause at their grants with a checkpoint, and can be made to fail, to be interrupted, or to lose their worker.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from honed.domains import Float
from honed.history import History
from honed.records import (
    Cause,
    Decision,
    Delta,
    Direction,
    Report,
    Resume,
    Start,
    State,
    StudyRecord,
    TrialRecord,
    Wait,
)
from honed.schedulers.base import Move, Scheduler
from honed.space import Space

Curve = Callable[[int, int], float | Sequence[float]]
"""(trial number, step) -> the value reported there, or one for each objective."""

_MOST_MOVES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Chaos:
    """What goes wrong, as probabilities for each step of each trial.

    Attributes:
        fail: the objective raises.
        interrupt: the trial is given back, with a checkpoint, before it has reached its grant.
        kill: the worker dies; the steps since the last checkpoint are lost.
    """

    fail: float = 0.0
    interrupt: float = 0.0
    kill: float = 0.0


@dataclass(slots=True)
class Workers:
    """Some workers, one study, one scheduler.

    Attributes:
        n_steps: length of a full training, of all trials or by trial number.
        n_queued: so many trials were queued by the user before the first worker came.
        steps: (trial, step) of every step that was executed, in order.
        moves: every move that was carried out.
        is_checked: whether moves and decisions are compared with those of another process, now and then.
    """

    scheduler: Scheduler
    curve: Curve
    n_steps: int | Callable[[int], int] = 27
    n_workers: int = 1
    n_trials: int | None = 30
    seed: int = 0
    directions: tuple[Direction, ...] = ("minimize",)
    chaos: Chaos = Chaos()
    n_queued: int = 0
    is_checked: bool = False
    history: History = field(init=False)
    steps: list[tuple[int, int]] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    decisions: list[tuple[int, int, Decision]] = field(default_factory=list)
    n_asked: int = 0
    _random: random.Random = field(init=False)
    _deltas: list[Delta] = field(default_factory=list)
    _busy: dict[int, int] = field(default_factory=dict)  # trial -> the step it has reached
    _saved: dict[str, int] = field(default_factory=dict)  # checkpoint -> its step
    _lost: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        metrics = tuple(f"value{i}" for i in range(len(self.directions)))
        space = Space({"lr": Float(1e-4, 1, log=True), "momentum": Float(0, 1)})
        study = StudyRecord(name="driven", directions=self.directions, metrics=metrics, space=space.to_json())
        self.history = History.empty(study)
        self._random = random.Random(self.seed)
        for number in range(self.n_queued):
            self._change(TrialRecord(number=number, state=State.WAITING, params=self._params(number)))

    # -------------------------------------------------------------------------------------------------- running

    def run(self, most_steps: int | None = None) -> History:
        """Works until nothing is left to do.

        Args:
            most_steps: ends sooner, after so many steps of all trials together.

        Raises:
            AssertionError: the scheduler broke its contract, or lets everybody wait while nothing runs.
        """
        while most_steps is None or len(self.steps) < most_steps:
            self.n_asked += 1
            assert self.n_asked < _MOST_MOVES, "the study does not end"
            while len(self._busy) < self.n_workers and self.ask():
                pass
            if not self._busy:
                break
            self.step(self._random.choice(sorted(self._busy)))
        return self.history

    def ask(self) -> bool:
        """One free worker asks; whether it has something to do now."""
        for record in self.history.unfinished:
            if record.number in self._lost or (record.state is State.WAITING and record.attempt):
                self._lost = tuple(number for number in self._lost if number != record.number)
                self._claim(record, record.until)
                return True
        move = self._next()
        match move:
            case Wait():
                assert self._busy, f"{move} while nothing runs"
                return False
            case Resume():
                self._check_resume(move)
                self._claim(self.history[move.number], move.until)
            case Start():
                if self.n_trials is not None and self.history.n_counted >= self.n_trials:
                    return False
                self._start(move)
        self.moves.append(move)
        return True

    def step(self, number: int) -> None:
        """One more step of a running trial, and what becomes of it."""
        record, step, luck = self.history[number], self._busy[number] + 1, self._random.random()
        if luck < self.chaos.fail:
            self._end(record, State.FAILED)
            return
        if luck < self.chaos.fail + self.chaos.kill:
            del self._busy[number]
            self._lost = (*self._lost, number)
            self._change()
            return
        self.steps.append((number, step))
        self._busy[number] = step
        report = self._report(number, step)
        trial = record.with_reports((*(r for r in record.reports if r.step < step), report))
        decision = self.scheduler.decide(self.history, trial)  # the history does not have the report yet
        assert isinstance(decision, Decision), f"decide answered {decision!r}"
        if self.is_checked and len(self.steps) % 17 == 0:
            assert self.scheduler.decide(self.restarted(), trial) is decision, "another process decides otherwise"
        self.decisions.append((number, step, decision))
        self._change(reports=(report,))
        record = self.history[number]
        if step >= self.length(number):
            self._end(record, State.COMPLETE)
        elif decision is Decision.STOP:
            self._end(record, State.STOPPED)
        elif decision is Decision.PAUSE or (record.until is not None and step >= record.until):
            self._pause(record, State.PAUSED)
        elif luck > 1 - self.chaos.interrupt:
            self._pause(record, State.WAITING)

    # ------------------------------------------------------------------------------------------------ what it saw

    def length(self, number: int) -> int:
        """The last step of a trial."""
        return self.n_steps if isinstance(self.n_steps, int) else self.n_steps(number)

    def states(self) -> dict[int, State]:
        """State by trial number."""
        return {record.number: record.state for record in self.history}

    def executed(self) -> dict[int, list[int]]:
        """The steps of each trial in the order in which they were executed."""
        found: dict[int, list[int]] = {record.number: [] for record in self.history}
        for number, step in self.steps:
            found[number].append(step)
        return found

    def restarted(self) -> History:
        """What another process sees that reads everything at once."""
        trials = {record.number: record for delta in self._deltas for record in delta.trials}
        reports = {(r.number, r.step): r for delta in self._deltas for r in delta.reports}
        in_order = {
            record.number: None for delta in self._deltas for record in delta.trials if record.state.is_finished
        }
        ordered = [trials[n] for n in [*(n for n in trials if n not in in_order), *in_order]]
        whole = Delta(
            revision=self.history.revision, trials=tuple(ordered), reports=tuple(reports.values()), lost=self._lost
        )
        return History.empty(self.history.study).extend(whole)

    # -------------------------------------------------------------------------------------------------- the flow

    def _next(self) -> Move:
        move = self.scheduler.next(self.history.limited(self.n_trials))
        if self.is_checked and len(self.moves) % 3 == 0:
            again = self.scheduler.next(self.restarted().limited(self.n_trials))
            assert move == again, f"{move}, but another process would make {again}"
        return move

    def _check_resume(self, move: Resume) -> None:
        record = self.history[move.number]
        if record.state is State.WAITING:
            return
        assert record.state is State.PAUSED, f"{move} of a trial that is {record.state}"
        reached = record.last_step or 0
        assert move.until is None or move.until > reached, f"{move} of a trial that has reached {reached}"

    def _claim(self, record: TrialRecord, until: int | None) -> None:
        self._change(replace(record, state=State.RUNNING, attempt=record.attempt + 1, until=until))
        self._busy[record.number] = self._saved.get(record.checkpoint or "", 0)
        self._announce(record.number)

    def _start(self, move: Start) -> None:
        number = len(self.history)
        parent = None if move.parent is None else self.history[move.parent]
        params: Mapping[str, Any] = self._params(number) if move.params is None else move.params
        checkpoint = None if parent is None else parent.checkpoint
        assert parent is None or checkpoint is not None, f"{move} from a parent without checkpoint"
        record = TrialRecord(
            number=number, state=State.RUNNING, attempt=1, params=params, note=move.note, until=move.until,
            parent=move.parent, checkpoint=checkpoint,
        )  # fmt: skip
        self._change(record)
        self._busy[number] = self._saved.get(checkpoint or "", 0)
        self._announce(number)

    def _announce(self, number: int) -> None:
        record = self.history[number]
        self._change(replace(record, note={**record.note, "n_steps": self.length(number)}))

    def _pause(self, record: TrialRecord, state: State) -> None:
        step = self._busy.pop(record.number)
        key = f"{record.number}-{step}"
        self._saved[key] = step
        self._change(replace(record, state=state, checkpoint=key))

    def _end(self, record: TrialRecord, state: State) -> None:
        del self._busy[record.number]
        if state is State.FAILED:
            self._change(replace(record, state=state, cause=Cause.ERROR))
            return
        values = []
        for metric, direction in zip(self.history.study.metrics, self.directions, strict=True):
            known = [r.values[metric] for r in record.reports if r.values[metric] == r.values[metric]]
            values.append((min if direction == "minimize" else max)(known, default=float("nan")))
        self._change(replace(record, state=state, values=tuple(values)))

    def _report(self, number: int, step: int) -> Report:
        value = self.curve(number, step)
        values = [value] if isinstance(value, int | float) else list(value)
        return Report(number, step, dict(zip(self.history.study.metrics, values, strict=True)))

    def _params(self, number: int) -> dict[str, Any]:
        return {"lr": 10 ** -(4 * ((number * 0.618) % 1)), "momentum": (number * 0.414) % 1}

    def _change(self, *records: TrialRecord, reports: tuple[Report, ...] = ()) -> None:
        bare = tuple(record.with_reports(()) for record in records)
        delta = Delta(revision=self.history.revision + 1, trials=bare, reports=reports, lost=self._lost)
        self._deltas.append(delta)
        self.history = self.history.extend(delta)
