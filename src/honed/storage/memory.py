"""A storage in this process's memory: the specification of all others, in plain Python.

Every verb that changes something appends one entry to its study's log, and the length of the log is the study's
revision. ``read`` walks the log from a revision on, so that a delta costs what has changed and nothing else. Records
are built once for each change and shared by all who read them.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import is_
from types import MappingProxyType
from typing import NamedTuple

from honed.clock import SYSTEM_CLOCK, Clock
from honed.domains import Domain
from honed.errors import StorageError, StudyNotFound, TrialNotFound
from honed.records import EMPTY, Delta, Draft, Report, State, StudyRecord, TrialRecord, Update
from honed.storage import rules
from honed.storage.base import LEASE_SECONDS
from honed.storage.restoring import check_trials, name_taken


class _Owner:
    """A storage object that may hold trials."""

    __slots__ = ("closed",)

    def __init__(self) -> None:
        self.closed = False


class _Change(NamedTuple):
    """One revision: which trial (None: the study), whether its record changed, and which steps were reported."""

    number: int | None
    record: bool
    steps: tuple[int, ...]


@dataclass(slots=True)
class _Trial:
    record: TrialRecord
    reports: dict[int, Report] = field(default_factory=dict)
    is_flat: bool = True  # note and attributes hold no mutable containers: the record may be shared
    owner: _Owner | None = None
    deadline: float = 0.0


class _Study:
    """One study and all it has."""

    __slots__ = ("changed", "counted", "domain_sets", "given_domains", "log", "record", "running", "trials")

    def __init__(self, record: StudyRecord) -> None:
        self.record = record
        self.trials: list[_Trial] = []
        self.running: dict[int, _Trial] = {}
        self.log: list[_Change] = []
        self.changed = 0  # revision of the last change of the study itself
        self.counted = 0  # trials that count for a limit
        self.given_domains: tuple[tuple[Domain, ...], Mapping[str, Domain]] = ((), EMPTY)
        self.domain_sets: dict[tuple[tuple[str, Domain], ...], Mapping[str, Domain]] = {}

    def domains(self, given: Mapping[str, Domain]) -> Mapping[str, Domain]:
        """One mapping for all trials with equal domains; choices are known by their labels, as in a file."""
        last, known = self.given_domains
        domains = tuple(given.values())
        if len(last) == len(domains) and all(map(is_, last, domains)) and list(known) == list(given):
            return known
        key = tuple(given.items())
        interned = self.domain_sets.get(key)
        if interned is None:
            labelled = {name: rules.stored_domain(domain) for name, domain in key}
            interned = self.domain_sets[key] = MappingProxyType(labelled)
        self.given_domains = (domains, interned)
        return interned


class _Data:
    """What all owners of one memory storage share."""

    __slots__ = ("lock", "names", "owners", "studies")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.studies: dict[int, _Study] = {}
        self.owners: dict[str, _Owner] = {}  # those with a name
        self.names: list[str] = []  # of all studies there ever were; the id is the position, from 1


class MemoryStorage:
    """Studies in the memory of this process; gone with it.

    Args:
        clock: what leases run by.
        beside: a storage whose data this one shares, as another owner.
        owner: a name for this owner: the same name beside the same data is the same owner.
    """

    def __init__(
        self, *, clock: Clock = SYSTEM_CLOCK, beside: MemoryStorage | None = None, owner: str | None = None
    ) -> None:
        self._clock = clock
        self._data: _Data = _Data() if beside is None else beside._data
        self._name = owner
        self._owner = _Owner() if owner is None else self._data.owners.setdefault(owner, _Owner())
        self._is_closed = False

    def __repr__(self) -> str:
        return f"MemoryStorage({len(self._data.studies)} studies)"

    def create_study(self, draft: StudyRecord) -> tuple[StudyRecord, bool]:
        draft = rules.checked_study(draft)
        with self._data.lock:
            self._check_open()
            for study in self._data.studies.values():
                if study.record.name == draft.name:
                    return _shown_study(study), False
            self._data.names.append(draft.name)
            number = len(self._data.names)
            study = _Study(replace(draft, id=number, revision=0, created=self._clock.now()))
            self._data.studies[number] = study
            return _shown_study(study), True

    def studies(self) -> tuple[StudyRecord, ...]:
        with self._data.lock:
            self._check_open()
            return tuple(_shown_study(study) for study in self._data.studies.values())

    def delete_study(self, study: int) -> None:
        with self._data.lock:
            self._study(study)
            del self._data.studies[study]

    def add(
        self, study: int, draft: Draft, *, worker: str, number: int | None = None, limit: int | None = None
    ) -> TrialRecord | None:
        rules.check_draft(draft, worker)
        steps = rules.plain_steps(draft.steps)
        with self._data.lock:
            found = self._study(study)
            count = len(found.trials)
            if number is not None and number != count:
                return None
            is_running = draft.state is State.RUNNING
            does_count = rules.counts(draft.state, 1 if is_running else 0)
            if does_count and limit is not None and found.counted >= limit:
                return None
            record = rules.new_record(count, draft, found.domains(draft.domains), worker, self._clock.now())
            trial = _Trial(record, is_flat=rules.is_flat(record.note) and rules.is_flat(record.attributes))
            found.trials.append(trial)
            found.counted += does_count
            _keep_reports(trial, steps)
            if is_running:
                self._hold(found, trial)
            found.log.append(_Change(count, True, tuple(steps)))
            return _shown(trial)

    def claim(
        self, study: int, number: int, *, worker: str, until: int | None = None, limit: int | None = None
    ) -> TrialRecord | None:
        rules.text("worker", worker)
        with self._data.lock:
            found = self._study(study)
            trial = self._trial(found, number)
            record = trial.record
            if record.state in rules.FINISHED or (record.state is State.RUNNING and not self._is_lost(trial)):
                return None
            if not rules.counts(record.state, record.attempt):
                if limit is not None and found.counted >= limit:
                    return None
                found.counted += 1
            trial.record = replace(
                record,
                state=State.RUNNING,
                attempt=record.attempt + 1,
                worker=worker,
                until=rules.whole(until),
                started=record.started or self._clock.now(),
            )
            self._hold(found, trial)
            found.log.append(_Change(number, True, ()))
            return _shown(trial)

    def renew(self, study: int, number: int, attempt: int) -> None:
        with self._data.lock:
            trial = self._trial(self._study(study), number)
            rules.check_write(number, trial.record.state, trial.record.attempt, attempt, None)
            trial.deadline = self._clock.monotonic() + LEASE_SECONDS

    def write(self, study: int, number: int | None, attempt: int, update: Update) -> None:
        rules.check_update(update)
        steps = rules.plain_steps(update.steps)
        with self._data.lock:
            found = self._study(study)
            if number is None:
                _write_study(found, update)
                return
            trial = self._trial(found, number)
            before = trial.record.state
            rules.check_write(number, before, trial.record.attempt, attempt, update.state)
            changes_record = rules.touches_record(update)
            if changes_record:
                domains = None if update.domains is None else found.domains(update.domains)
                trial.record = _changed_record(trial.record, update, domains, self._clock)
                if update.note or update.attributes:
                    trial.is_flat = rules.is_flat(trial.record.note) and rules.is_flat(trial.record.attributes)
            _keep_reports(trial, steps)
            trial.deadline = self._clock.monotonic() + LEASE_SECONDS
            if update.state is not None:
                found.running.pop(number, None)
                trial.owner = None
                found.counted += rules.counts(update.state, attempt) - rules.counts(before, attempt)
            if changes_record or steps:
                found.log.append(_Change(number, changes_record, tuple(steps)))

    def read(self, study: int, after: int = 0) -> Delta:
        with self._data.lock:
            found = self._study(study)
            trials: dict[int, TrialRecord] = {}
            reports: dict[tuple[int, int], Report] = {}
            for number, changes_record, steps in found.log[max(after, 0) :]:
                if number is None:
                    continue
                trial = found.trials[number]
                if changes_record:
                    trials.pop(number, None)  # so that the order is that of the last changes
                    trials[number] = _shown(trial)
                for step in steps:
                    reports.pop((number, step), None)
                    reports[number, step] = trial.reports[step]
            return Delta(
                revision=len(found.log),
                study=_shown_study(found) if after <= 0 or found.changed > after else None,
                trials=tuple(trials.values()),
                reports=tuple(reports.values()),
                lost=tuple(sorted(n for n, trial in found.running.items() if self._is_lost(trial))),
            )

    def close(self) -> None:
        if not self._is_closed:
            self._owner.closed = True
            self._data.owners.pop(self._name or "", None)
        self.detach()

    def detach(self) -> None:
        """Closes this object; an owner with a name holds its trials on, until their leases run out."""
        self._is_closed = True

    def restore(self, record: StudyRecord, trials: Sequence[TrialRecord]) -> StudyRecord:
        """Writes a study as another storage has it, as ``SQLiteStorage.restore`` does."""
        check_trials(record, trials)
        with self._data.lock:
            self._check_open()
            if record.name in [study.record.name for study in self._data.studies.values()]:
                raise ValueError(name_taken(record.name, "memory"))
            self._data.names.append(record.name)
            study = _Study(replace(rules.checked_study(record), id=len(self._data.names), revision=0))
            self._data.studies[study.record.id] = study
            for each in trials:
                _restore_trial(study, each)
            study.trials.sort(key=lambda trial: trial.record.number)
            return _shown_study(study)

    def _check_open(self) -> None:
        if self._is_closed:
            raise StorageError("This storage is closed; open it again to use it.")

    def _study(self, study: int) -> _Study:
        found = self._data.studies.get(study)
        if self._is_closed or found is None:
            self._check_open()
            names = self._data.names
            name = names[study - 1] if 1 <= study <= len(names) else rules.NO_NAME.format(study)
            raise StudyNotFound(name, "memory", [each.record.name for each in self._data.studies.values()])
        return found

    def _trial(self, study: _Study, number: int) -> _Trial:
        if not 0 <= number < len(study.trials):
            raise TrialNotFound(rules.no_trial(study.record.name, number, len(study.trials)))
        return study.trials[number]

    def _hold(self, study: _Study, trial: _Trial) -> None:
        trial.owner = self._owner
        trial.deadline = self._clock.monotonic() + LEASE_SECONDS
        study.running[trial.record.number] = trial

    def _is_lost(self, trial: _Trial) -> bool:
        return trial.owner is None or trial.owner.closed or trial.deadline <= self._clock.monotonic()


def _changed_record(
    old: TrialRecord, update: Update, domains: Mapping[str, Domain] | None, clock: Clock
) -> TrialRecord:
    note = MappingProxyType(rules.merged(old.note, update.note)) if update.note else old.note
    attributes = (
        MappingProxyType(rules.merged(old.attributes, update.attributes)) if update.attributes else old.attributes
    )
    return TrialRecord(  # in full: `replace` takes three times as long
        number=old.number,
        state=old.state if update.state is None else update.state,
        params=old.params if update.params is None else rules.view(update.params),
        domains=old.domains if domains is None else domains,
        values=old.values if update.values is None else rules.floats(update.values),
        attempt=old.attempt,
        until=old.until if update.until is None else rules.whole(update.until),
        checkpoint=old.checkpoint if update.checkpoint is None else update.checkpoint,
        parent=old.parent,
        note=note,
        attributes=attributes,
        cause=old.cause if update.cause is None else update.cause,
        message=old.message if update.message is None else rules.readable(update.message),
        worker=old.worker,
        created=old.created,
        started=old.started,
        finished=clock.now() if update.state in rules.FINISHED else old.finished,
    )


def _keep_reports(trial: _Trial, steps: dict[int, dict[str, float]]) -> None:
    for step, values in steps.items():
        trial.reports[step] = Report(trial.record.number, step, MappingProxyType(values))


def _write_study(study: _Study, update: Update) -> None:
    if not update.attributes and update.space is None:
        return
    study.record = replace(
        study.record,
        attributes=rules.merged(study.record.attributes, update.attributes),
        space=study.record.space if update.space is None else update.space,
    )
    study.log.append(_Change(None, True, ()))
    study.changed = len(study.log)


def _restore_trial(study: _Study, record: TrialRecord) -> None:
    kept = replace(
        record.with_reports(()),
        params=rules.view(record.params),
        domains=study.domains(record.domains),
        note=rules.view(record.note),
        attributes=rules.view(record.attributes),
    )
    trial = _Trial(kept, is_flat=rules.is_flat(kept.note) and rules.is_flat(kept.attributes))
    steps = rules.plain_steps({report.step: report.values for report in record.reports})
    _keep_reports(trial, steps)
    study.trials.append(trial)
    study.counted += rules.counts(record.state, record.attempt)
    if record.state is State.RUNNING:
        study.running[record.number] = trial
    study.log.append(_Change(record.number, True, tuple(steps)))


def _shown(trial: _Trial) -> TrialRecord:
    """The record to hand out: callers may keep it, and share nothing that they could change."""
    if trial.is_flat:
        return trial.record
    return replace(trial.record, note=rules.plain(trial.record.note), attributes=rules.plain(trial.record.attributes))


def _shown_study(study: _Study) -> StudyRecord:
    record = study.record
    return replace(
        record,
        revision=len(study.log),
        attributes=rules.plain(record.attributes),
        space=None if record.space is None else rules.plain(record.space),
    )
