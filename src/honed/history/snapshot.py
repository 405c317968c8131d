"""``History``: the snapshot, and the book of lists that the snapshots of one study share."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from honed.errors import TrialNotFound
from honed.history.allowance import UNLIMITED, Allowance
from honed.history.joint import Asked
from honed.history.rungs import Ladder, Rung, Standings, longest, stand
from honed.history.tables import Columns, Curves, CurveTable, TrialTable, signs_of
from honed.records import Delta, Direction, Report, State, StudyRecord, TrialRecord
from honed.space import Space, space_from_json

T = TypeVar("T")

_MOST_FOLDS = 16
_set = object.__setattr__


class History:
    """A study at one revision; make the first with ``History.empty`` and go on with ``extend``."""

    __slots__ = ("_best", "_book", "_counts", "_n_changes", "_n_finished", "_n_reports", "_open", "_unfinished", "allowance",
                 "lost", "max_steps", "n_steps", "revision", "space", "study")  # fmt: skip

    study: StudyRecord
    revision: int
    space: Space
    """The joint space: the declared one, and what trials have asked for beyond it."""
    lost: tuple[int, ...]
    """Running trials that nobody holds any more."""
    max_steps: int | None
    """The length of a full training: the largest number of steps that a trial has announced, or reached COMPLETE."""
    allowance: Allowance
    """What may be spent, as far as that is known (``allowed``); the snapshots that follow keep it."""
    n_steps: int
    """Steps that all trials together have reported: each counts its last one, less what its parent had done."""
    _book: _Book
    _open: dict[int, TrialRecord]
    _unfinished: tuple[TrialRecord, ...] | None
    _counts: dict[State, int]
    _n_finished: int
    _n_reports: int
    _n_changes: int
    _best: int

    def __init__(self, study: StudyRecord, revision: int, space: Space, lost: tuple[int, ...], shared: _Shared) -> None:
        _set(self, "study", study)
        _set(self, "revision", revision)
        _set(self, "space", space)
        _set(self, "lost", lost)
        _set(self, "max_steps", None)
        _set(self, "allowance", UNLIMITED)
        _set(self, "n_steps", 0)
        book, unfinished, counts, best = shared
        _set(self, "_book", book)
        _set(self, "_open", unfinished)
        _set(self, "_unfinished", None)
        _set(self, "_counts", counts)
        _set(self, "_n_finished", len(book.finished))
        _set(self, "_n_reports", len(book.reports))
        _set(self, "_n_changes", len(book.ladder.changes))
        _set(self, "_best", best)

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
        return History(study, 0, space, (), (_Book(study, space), {}, dict.fromkeys(State, 0), -1))

    def extend(self, delta: Delta) -> History:
        """The history at ``delta.revision``; this one stays as it is."""
        is_old = self.revision == delta.revision and self.lost == delta.lost
        if is_old and not delta.trials and not delta.reports and delta.study is None:
            return self
        book = self._book if self._book.revision == self.revision else _Book.forked(self)
        unfinished, counts = self._open.copy(), self._counts.copy()
        is_new, n_new_steps = False, 0
        ended: list[TrialRecord] = []
        for record in delta.trials:
            before = unfinished.pop(record.number, None)
            if before is not None:
                counts[before.state] -= 1
                if before.reports:
                    record = record.with_reports(before.reports)
            elif record.number in book.rows:
                continue  # a finished trial never changes
            book.ladder.changes.append(stand(record))
            counts[record.state] += 1
            unfinished[record.number] = record
            if record.state.is_finished:
                ended.append(record)
            if not is_new and (before is None or before.domains is not record.domains):
                is_new = not book.asked.knows(record.domains) or not (
                    before is None or book.asked.knows(before.domains)
                )
        if delta.reports:
            n_new_steps = _attach_reports(unfinished, delta.reports)
            book.reports.extend(delta.reports)
        best = self._best
        for record in ended:
            record = unfinished.pop(record.number)
            is_new |= book.asked.learn(record)
            row = book.append(record)
            best = row if book.is_better(row, best) else best
        book.revision = delta.revision
        space = book.joint(self.space, unfinished) if is_new else self.space
        study = self.study if delta.study is None else delta.study
        after = History(study, delta.revision, space, delta.lost, (book, unfinished, counts, best))
        _set(after, "allowance", self.allowance)
        _set(after, "n_steps", self.n_steps + n_new_steps)
        _set(after, "max_steps", longest(self.max_steps, [*delta.trials, *after.finished_since(self._n_finished)]))
        return after

    @property
    def declared(self) -> Space:
        """The part of the joint space that was written down beforehand."""
        return self._book.declared

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
        if self._unfinished is None:  # asked several times in each decision
            _set(self, "_unfinished", tuple(self._open[number] for number in sorted(self._open)))
        assert self._unfinished is not None
        return self._unfinished

    def count(self, *states: State) -> int:
        """How many trials are in these states."""
        return sum(self._counts[state] for state in states)

    @property
    def n_counted(self) -> int:
        """How many trials count towards ``n_trials``: all but FAILED ones and queued ones that never started."""
        queued = 0
        if self._counts[State.WAITING]:
            queued = sum(1 for r in self._open.values() if r.state is State.WAITING and not r.attempt)
        return len(self) - self._counts[State.FAILED] - queued

    @property
    def best(self) -> TrialRecord | None:
        """The finished trial with the best value of the first objective; the older one of equals, never NaN.

        Where values are means, of folds or repeats, one that was stopped after some of them is best only while none is complete.

        Where constraints are measured, the best of those that keep them; while none does, the one that violates them least.
        """
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

    def limited(self, max_trials: int | None, max_total_steps: int | None = None) -> History:
        """This snapshot for policies that should know how many trials, or steps, the study may have."""
        return self.allowed(Allowance(trials=max_trials, steps=max_total_steps))

    def allowed(self, allowance: Allowance) -> History:
        """This snapshot for policies that should know what may be spent."""
        if allowance == self.allowance:
            return self
        copy = object.__new__(History)
        for name in History.__slots__:
            _set(copy, name, getattr(self, name))
        _set(copy, "allowance", allowance)
        return copy

    @property
    def max_trials(self) -> int | None:
        """How many trials the study may have in all, where that is known."""
        return self.allowance.trials

    @property
    def max_total_steps(self) -> int | None:
        """How many steps all trials together may take, where that is known."""
        return self.allowance.steps

    @property
    def may_start(self) -> bool:
        """Whether another trial may begin."""
        return self.max_trials is None or self.n_counted < self.max_trials

    def rung(self, step: int, metric: str | None = None, direction: Direction | None = None) -> Rung:
        """Who has reported exactly this step, and what; cheap to ask again after every report.

        Args:
            step: the step.
            metric: by default the first objective.
            direction: of a metric that is no objective; minimize by default.
        """
        return self._book.rung(step, self.study.metrics[0] if metric is None else metric, direction, self._n_reports)

    def standings(self) -> Standings:
        """State and grant of every trial as arrays by number."""
        return self._book.ladder.standings(self._n_changes)

    def fold(self, key: Hashable, make: Callable[[], T], add: Callable[[T, TrialRecord], None]) -> T:
        """What ``add`` has gathered in ``make()`` over all finished trials, in the order in which they finished.

        It is kept for the snapshots that follow, which add what is new to the same object; so nobody changes it but
        ``add``, and it is read before the next snapshot is asked.

        Args:
            key: names what is gathered, with all settings that it depends on.
            make: the state before the first trial.
            add: takes one finished trial into the state.
        """
        folds = self._book.folds
        n, state = folds.pop(key, (0, None))
        if state is None or n > self._n_finished:  # first use, or an older snapshot than the one served last
            n, state = 0, make()
        for record in self.finished_since(n):
            add(state, record)
        folds[key] = (self._n_finished, state)
        if len(folds) > _MOST_FOLDS:
            del folds[next(iter(folds))]
        return state  # type: ignore[no-any-return]  # what `make` made under this key


class _Book:
    """The lists and arrays that the snapshots of one study share; entries are appended, never changed."""

    __slots__ = ("_curves", "_signs", "_study", "_table", "asked", "declared", "finished", "folds", "ladder",
                 "reports", "revision", "rows")  # fmt: skip

    def __init__(self, study: StudyRecord, declared: Space) -> None:
        self.revision = 0
        self.finished: list[TrialRecord] = []
        self.rows: dict[int, int] = {}
        self.reports: list[Report] = []
        self.asked = Asked(declared)
        self.folds: dict[Hashable, tuple[int, Any]] = {}
        self.ladder = Ladder()
        self._study = study
        self.declared = declared
        self._signs = signs_of(study.directions)
        self._table: TrialTable | None = None
        self._curves: dict[str, CurveTable] = {}

    @staticmethod
    def forked(at: History) -> _Book:
        """A book of its own for a snapshot that others have gone on from."""
        book = _Book(at._book._study, at._book.declared)
        book.revision = at.revision
        book.reports = at._book.reports[: at._n_reports]
        book.ladder.changes = at._book.ladder.changes[: at._n_changes]
        for record in at.finished:
            book.asked.learn(record)
            book.append(record)
        return book

    def joint(self, before: Space, unfinished: Mapping[int, TrialRecord]) -> Space:
        """The joint space; the same object as ``before`` where it is the same."""
        space = self.asked.space(unfinished)
        is_same = len(space) == len(before) and all(
            name == old and (domain is before[name] or domain == before[name])
            for (name, domain), old in zip(space.domains.items(), before.domains, strict=True)
        )
        return before if is_same else space

    def append(self, record: TrialRecord) -> int:
        self.rows[record.number] = row = len(self.finished)
        self.finished.append(record)
        return row

    def is_better(self, row: int, best: int) -> bool:
        record = self.finished[row]
        value = record.value
        if value is None or value != value or record.state is State.FAILED:
            return False
        if best < 0:
            return True
        leader = self.finished[best]
        if record.violation != leader.violation:
            return record.violation < leader.violation
        if self._study.summary == "mean" and record.state is not leader.state:  # a mean of fewer, maybe easier, folds
            return record.state is State.COMPLETE
        if leader.value is None or value == leader.value:
            return record.number < leader.number
        return (value < leader.value) is (self._signs[0] > 0)

    def columns(self, space: Space, n: int) -> Columns:
        table = self._table
        if table is None:
            table = TrialTable(space, self._signs)
        elif table.space is not space:
            table = table.with_space(space, self.finished)
        for record in self.finished[table.n : n]:
            table.append(record)
        self._table = table
        return table.view(n)

    def curves(self, metric: str, n: int) -> Curves:
        table = self._curves.get(metric)
        if table is None or table.n_reports > n:  # first use, or an older snapshot than the one served last
            metrics = self._study.metrics
            sign = self._signs[metrics.index(metric)] if metric in metrics else 1.0
            table = self._curves[metric] = CurveTable(metric, sign)
        if table.n_reports < n:
            table.extend(self.reports[table.n_reports : n])
        return table.view()

    def rung(self, step: int, metric: str, direction: Direction | None, n: int) -> Rung:
        metrics = self._study.metrics
        if metric in metrics and direction is None:
            sign = self._signs[metrics.index(metric)]
        else:
            sign = -1.0 if direction == "maximize" else 1.0
        return self.ladder.rung(self.reports, n, step, metric, sign)


_Shared = tuple[_Book, dict[int, TrialRecord], dict[State, int], int]
"""Book, unfinished trials, how many are in each state, row of the best: the parts of a snapshot that nobody sees."""


def _attach_reports(unfinished: dict[int, TrialRecord], reports: Sequence[Report]) -> int:
    """Puts new reports into the records of their trials, in order of steps; returns how many steps are new.

    Experiments from elsewhere cost nothing here, and a trial with a parent begins where that one was.
    """
    n_new = 0
    fresh: dict[int, dict[int, Report]] = {}
    for report in reports:
        fresh.setdefault(report.number, {})[report.step] = report
    for number, steps in fresh.items():
        record = unfinished.get(number)
        if record is None:
            continue
        before = record.reports
        ordered = tuple(steps[step] for step in sorted(steps))
        if not record.note.get("added"):
            begun = before[-1].step if before else 0 if record.parent is None else ordered[0].step - 1
            n_new += max(ordered[-1].step - begun, 0)
        if before and ordered[0].step <= before[-1].step:
            by_step = {report.step: report for report in before} | steps
            unfinished[number] = record.with_reports(tuple(by_step[step] for step in sorted(by_step)))
        else:
            unfinished[number] = record.with_reports(before + ordered)
    return n_new
