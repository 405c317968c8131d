"""What policies see of a study: a read-only snapshot at one revision, with arrays that only grow.

``history.extend(delta)`` gives the next snapshot in time proportional to the change. Finished trials never change, so they
stand in the order in which they finished in lists and arrays that all snapshots share: a snapshot is a length and a few
references. Directions are applied here, once: in ``Columns.losses`` and ``Curves.losses`` smaller is better, always.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from honed.domains import Domain
from honed.encode import INACTIVE, coordinate
from honed.errors import TrialNotFound
from honed.records import Delta, Report, State, StudyRecord, TrialRecord
from honed.space import Space, space_from_json

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

STATES: tuple[State, ...] = (State.COMPLETE, State.STOPPED, State.FAILED)
"""``Columns.states`` holds indices into this tuple."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """All finished trials as arrays, in the order in which they finished; n trials, d parameters, m objectives.

    Attributes:
        space: the joint space; its names are the columns of ``params``.
        numbers: [n] trial numbers.
        states: [n] indices into ``STATES``.
        params: [n, d] coordinates (``honed.encode``); NaN where a parameter was not active.
        losses: [n, m] values turned so that smaller is better; NaN for failed trials.
    """

    space: Space
    numbers: Ints
    states: npt.NDArray[np.int8]
    params: Floats
    losses: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """All reports of one metric, in the order in which they arrived; each (trial, step) once, with its latest value.

    Attributes:
        numbers, steps: [k] whose report it is.
        losses: [k] turned so that smaller is better (metrics that are no objective stay as they are).
    """

    numbers: Ints
    steps: Ints
    losses: Floats


class History:
    """A study at one revision; make the first with ``History.empty`` and go on with ``extend``."""

    __slots__ = ("_best", "_book", "_counts", "_n_finished", "_n_reports", "_open", "lost", "revision", "space", "study")

    def __init__(self, **fields: Any) -> None:
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    study: StudyRecord
    revision: int
    space: Space
    """The joint space: the declared one, and what trials have asked for beyond it or differently since."""
    lost: tuple[int, ...]
    """Running trials that nobody holds any more."""

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a History does not change; {name} belongs to one revision")

    @staticmethod
    def empty(study: StudyRecord, space: Space | None = None) -> History:
        """The history before the first trial.

        Args:
            study: whose history.
            space: the declared space with its objects and rules; by default the one stored with the study, if any.
        """
        if space is None:
            space = Space() if study.space is None else space_from_json(study.space)
        return History(
            _book=_Book(study), _open={}, _counts=dict.fromkeys(State, 0), _n_finished=0, _n_reports=0, _best=-1,
            study=study, revision=0, space=space, lost=(),
        )  # fmt: skip

    def extend(self, delta: Delta) -> History:
        """The history at ``delta.revision``; this one stays as it is."""
        study = self.study if delta.study is None else delta.study
        if not delta.trials and not delta.reports and self.revision == delta.revision:
            return self if self.lost == delta.lost else self._with(lost=delta.lost)
        book = self._book if self._book.revision == self.revision else self._book.fork(self)
        known, counts = self._open.copy(), self._counts.copy()
        space, best = self.space, self._best
        for record in delta.trials:
            before = known.pop(record.number, None)
            if before is not None:
                counts[before.state] -= 1
                record = replace(record, reports=before.reports) if before.reports else record
            elif record.number in book.rows:
                continue  # a finished trial never changes
            counts[record.state] += 1
            space = book.learn(space, record)
            known[record.number] = record
        _attach_reports(known, delta.reports)
        for record in delta.trials:
            if record.state.is_finished and record.number in known:
                row = book.append(known.pop(record.number))
                best = row if book.is_better(row, best) else best
        book.reports.extend(delta.reports)
        book.revision = delta.revision
        return History(
            _book=book, _open=known, _counts=counts, _n_finished=len(book.finished), _n_reports=len(book.reports),
            _best=best, study=study, revision=delta.revision, space=space, lost=delta.lost,
        )  # fmt: skip

    def _with(self, **changes: Any) -> History:
        return History(**{name: getattr(self, name) for name in self.__slots__} | changes)

    def __len__(self) -> int:
        """How many trials there are; numbers are dense from 0."""
        return self._n_finished + len(self._open)

    def __getitem__(self, number: int) -> TrialRecord:
        row = self._book.rows.get(number)
        if row is not None and row < self._n_finished:
            return self._book.finished[row]
        if number in self._open:
            return self._open[number]
        raise TrialNotFound(f"Study {self.study.name!r} has no trial {number}; it has {len(self)}, numbered from 0")

    def __contains__(self, number: int) -> bool:
        return number in self._open or self._book.rows.get(number, self._n_finished) < self._n_finished

    def __iter__(self) -> Iterator[TrialRecord]:
        """All trials by number."""
        return (self[number] for number in sorted([*self._open, *(r.number for r in self.finished)]))

    @property
    def finished(self) -> Sequence[TrialRecord]:
        """Finished trials in the order in which they finished."""
        return self._book.finished[: self._n_finished]

    def finished_since(self, n: int) -> Sequence[TrialRecord]:
        """Finished trials from the ``n``-th on: what is new to a reader that knew ``n``."""
        return self._book.finished[n : self._n_finished]

    @property
    def n_finished(self) -> int:
        """How many trials are finished."""
        return self._n_finished

    @property
    def unfinished(self) -> tuple[TrialRecord, ...]:
        """Waiting, running and paused trials by number."""
        return tuple(self._open[number] for number in sorted(self._open))

    def count(self, *states: State) -> int:
        """How many trials are in these states."""
        return sum(self._counts[state] for state in states)

    @property
    def n_counted(self) -> int:
        """How many trials count towards ``n_trials``: all but FAILED ones and queued ones that never started."""
        queued = sum(1 for record in self._open.values() if record.state is State.WAITING and not record.attempt)
        return len(self) - self._counts[State.FAILED] - queued

    @property
    def best(self) -> TrialRecord | None:
        """The finished trial with the best value of the first objective; the older one of equals."""
        return None if self._best < 0 else self._book.finished[self._best]

    @property
    def n_since_best(self) -> int:
        """How many trials have finished after the best one."""
        return self._n_finished - 1 - self._best

    @property
    def columns(self) -> Columns:
        """The finished trials as arrays; views of shared buffers, not to be written."""
        return self._book.columns(self.space, self._n_finished)

    def curves(self, metric: str | None = None) -> Curves:
        """The reports of one metric as arrays; by default of the first objective."""
        metric = self.study.metrics[0] if metric is None else metric
        return self._book.curves(metric, self._n_reports)


@dataclass(slots=True)
class _Book:
    """The lists and arrays that the snapshots of one study share; entries are appended, never changed."""

    study: StudyRecord
    revision: int = 0
    finished: list[TrialRecord] = field(default_factory=list)
    rows: dict[int, int] = field(default_factory=dict)
    reports: list[Report] = field(default_factory=list)
    seen: dict[int, Mapping[str, Domain]] = field(default_factory=dict)
    table: _Table | None = None
    curve_tables: dict[str, _CurveTable] = field(default_factory=dict)

    def fork(self, at: History) -> _Book:
        book = _Book(self.study, at.revision, self.finished[: at.n_finished], reports=self.reports[: at._n_reports])
        book.rows = {record.number: row for row, record in enumerate(book.finished)}
        return book

    def learn(self, space: Space, record: TrialRecord) -> Space:
        """The joint space after this record: domains that trials asked with, the latest for each name."""
        domains = record.domains
        if self.seen.get(id(domains)) is domains:  # storages share one mapping between trials that asked alike
            if all(space.domains.get(name) is domain for name, domain in domains.items()):
                return space
        else:
            self.seen[id(domains)] = domains
        for name, domain in domains.items():
            if name not in space or space[name] != domain:
                space = space.with_domain(name, domain)
        return space

    def append(self, record: TrialRecord) -> int:
        self.rows[record.number] = len(self.finished)
        self.finished.append(record)
        return len(self.finished) - 1

    def is_better(self, row: int, best: int) -> bool:
        value = self.finished[row].value
        if value is None or self.finished[row].state is State.FAILED:
            return False
        if best < 0:
            return True
        leader, number = self.finished[best].value, self.finished[row].number
        assert leader is not None
        if value == leader:
            return number < self.finished[best].number
        return value < leader if self.study.directions[0] == "minimize" else value > leader

    def columns(self, space: Space, n: int) -> Columns:
        if self.table is None:
            self.table = _Table(space, len(self.study.directions))
        if self.table.space is not space:
            self.table = self.table.with_space(space, self.finished)
        signs = [1.0 if direction == "minimize" else -1.0 for direction in self.study.directions]
        for record in self.finished[self.table.n : n]:
            self.table.append(record, signs)
        return self.table.view(n)

    def curves(self, metric: str, n: int) -> Curves:
        table = self.curve_tables.get(metric)
        if table is None or table.n_reports > n:  # first use, or an older snapshot than the one served last
            sign = 1.0
            if metric in self.study.metrics:
                sign = 1.0 if self.study.directions[self.study.metrics.index(metric)] == "minimize" else -1.0
            table = self.curve_tables[metric] = _CurveTable(metric, sign)
        table.extend(self.reports[table.n_reports : n])
        return table.view()


class _Table:
    """Growing arrays behind ``Columns``: doubled when full, so that a trial costs a constant time."""

    def __init__(self, space: Space, n_objectives: int, capacity: int = 64) -> None:
        self.space = space
        self.n = 0
        self.numbers = np.zeros(capacity, dtype=np.int64)
        self.states = np.zeros(capacity, dtype=np.int8)
        self.params = np.full((capacity, len(space)), INACTIVE)
        self.losses = np.full((capacity, n_objectives), np.nan)

    def append(self, record: TrialRecord, signs: Sequence[float]) -> None:
        if self.n == len(self.numbers):
            for name in ("numbers", "states", "params", "losses"):
                old = getattr(self, name)
                setattr(self, name, np.concatenate([old, np.full_like(old, np.nan if old.ndim == 2 else 0)]))
        row = self.n
        self.numbers[row] = record.number
        self.states[row] = STATES.index(record.state)
        self.params[row] = [
            coordinate(domain, record.params[name]) if name in record.params else INACTIVE
            for name, domain in self.space.domains.items()
        ]
        if record.values is not None and record.state is not State.FAILED:
            self.losses[row] = [sign * value for sign, value in zip(signs, record.values, strict=True)]
        self.n += 1

    def with_space(self, space: Space, finished: Sequence[TrialRecord]) -> _Table:
        """A table for a changed space: only the columns of new or changed domains are encoded again."""
        table = _Table(space, self.losses.shape[1], capacity=0)
        table.n, table.numbers, table.states, table.losses = self.n, self.numbers, self.states, self.losses
        table.params = np.full((len(self.numbers), len(space)), INACTIVE)
        before = {name: i for i, name in enumerate(self.space.domains)}
        for i, (name, domain) in enumerate(space.domains.items()):
            if name in before and self.space[name] == domain:
                table.params[:, i] = self.params[:, before[name]]
                continue
            for row, record in enumerate(finished[: self.n]):
                if name in record.params:
                    table.params[row, i] = coordinate(domain, record.params[name])
        return table

    def view(self, n: int) -> Columns:
        arrays = [array[:n] for array in (self.numbers, self.states, self.params, self.losses)]
        for array in arrays:
            array.flags.writeable = False
        numbers, states, params, losses = arrays
        return Columns(space=self.space, numbers=numbers, states=states, params=params, losses=losses)


class _CurveTable:
    """Growing arrays behind ``Curves``; a replaced report costs a copy, so that views handed out stay as they are."""

    def __init__(self, metric: str, sign: float) -> None:
        self.metric, self.sign = metric, sign
        self.n_reports = 0
        self.rows: dict[tuple[int, int], int] = {}
        self.keys = np.zeros((64, 2), dtype=np.int64)
        self.losses = np.zeros(64)

    def extend(self, reports: Sequence[Report]) -> None:
        self.n_reports += len(reports)
        for report in reports:
            if self.metric not in report.values:
                continue
            loss, key = self.sign * report.values[self.metric], (report.number, report.step)
            if key in self.rows:
                self.losses = self.losses.copy()
                self.losses[self.rows[key]] = loss
                continue
            row = self.rows[key] = len(self.rows)
            if row == len(self.losses):
                self.keys = np.concatenate([self.keys, np.zeros_like(self.keys)])
                self.losses = np.concatenate([self.losses, np.zeros_like(self.losses)])
            self.keys[row], self.losses[row] = key, loss

    def view(self) -> Curves:
        n = len(self.rows)
        keys, losses = self.keys[:n], self.losses[:n]
        keys.flags.writeable = losses.flags.writeable = False
        return Curves(numbers=keys[:, 0], steps=keys[:, 1], losses=losses)


def _attach_reports(known: dict[int, TrialRecord], reports: Sequence[Report]) -> None:
    """Puts new reports into the records of open trials, in order of steps."""
    fresh: dict[int, dict[int, Report]] = {}
    for report in reports:
        fresh.setdefault(report.number, {})[report.step] = report
    for number, steps in fresh.items():
        record = known.get(number)
        if record is None:
            continue
        if not record.reports or min(steps) > record.reports[-1].step:
            merged = (*record.reports, *(steps[step] for step in sorted(steps)))
        else:
            by_step = {report.step: report for report in record.reports} | steps
            merged = tuple(by_step[step] for step in sorted(by_step))
        known[number] = replace(record, reports=merged)
