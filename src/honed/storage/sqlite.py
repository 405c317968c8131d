"""A storage in one SQLite file: safe for many processes of one machine, and after a crash of any of them.

What SQLite needs for that stands in ``connections.py``; who is alive in ``locks.py``; the tables in ``schema.py``. Here
are the nine verbs, each one transaction: it raises the study's revision by one, and marks the rows it changed with it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Mapping, Sequence
from operator import index
from pathlib import Path
from typing import Any, Literal

from honed.clock import SYSTEM_CLOCK, Clock, boot_id
from honed.errors import StaleLease, StorageError, StudyNotFound, TrialNotFound
from honed.records import Delta, Draft, State, StudyRecord, TrialRecord, Update
from honed.storage import checking, filesystem, restoring, rows, rules
from honed.storage.base import LEASE_SECONDS
from honed.storage.connections import Connections
from honed.storage.locks import LOCK_SECONDS, Owners
from honed.storage.named import NamedOwner

Durability = Literal["full", "fast"]

_STUDY = f"SELECT {rows.STUDY_COLUMNS} FROM studies JOIN counters ON counters.study = studies.id"
_TRIAL = f"SELECT {rows.TRIAL_COLUMNS} FROM trials"
_ADD_TRIAL = f"INSERT INTO trials (id, study, revision, {rows.TRIAL_COLUMNS}) VALUES (?, ?, ?{', ?' * 17})"
_ADD_REPORT = "INSERT OR REPLACE INTO reports (study, number, step, revision, measured) VALUES (?, ?, ?, ?, ?)"
_COUNT = "UPDATE counters SET revision = revision + 1, counted = counted + ? WHERE study = ?"


class SQLiteStorage:
    """Studies in one SQLite file; the file is made when it does not exist.

    Args:
        path: where the file lies; on a local disk.
        durability: ``"full"``: a told result survives a power loss. ``"fast"``: it survives a crash of the process,
            and costs no disk sync.
        read_only: for looking; nothing is written, and no writer waits.
        lock_seconds: the longest wait for the write lock.
        clock: what leases run by.
        owner: a name for this owner, in which other processes may speak later: its trials are held until their leases run
            out, whether or not this process lives, and the same name opened again is the same owner.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: Durability = "full",
        read_only: bool = False,
        lock_seconds: float = LOCK_SECONDS,
        clock: Clock = SYSTEM_CLOCK,
        owner: str | None = None,
    ) -> None:
        if durability not in ("full", "fast"):
            raise ValueError(f"durability={durability!r} is unknown; use 'full' or 'fast'")
        self.path = Path(path).absolute()
        self.shown = os.fspath(path)
        filesystem.check_place(self.path, self.shown, read_only=read_only)
        if not read_only:
            filesystem.check_local(self.path, self.shown)
        self.durability = durability
        self._is_durable = durability == "full"
        self._clock = clock
        folder = self.path.with_name(self.path.name + "-workers")
        self._owners = Owners(folder, may_clean=not read_only, name=owner)
        self._named = None if owner is None or read_only else NamedOwner(self._owners.token())
        self._my_owner: tuple[str, int] = ("", 0)  # this object's token, and its id in the file
        self._known_owners: dict[int, tuple[str, str]] = {}  # id -> token and boot
        self._names: dict[int, str] = {}
        self._domains = rows.DomainTable()
        self._connections = Connections(self.path, self.shown, read_only=read_only, lock_seconds=lock_seconds)
        self._read_only = read_only
        try:
            self._connections.prepare()
            self._take_up()
        except BaseException:
            self._connections.close()
            raise

    def __repr__(self) -> str:
        return f"SQLiteStorage({self.shown!r})"

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # half made, or at the end of the interpreter
            self.detach()

    # ------------------------------------------------------------------------------------------------------ studies

    def create_study(self, draft: StudyRecord) -> tuple[StudyRecord, bool]:
        draft = rules.checked_study(draft)
        with self._connections.reading() as connection:
            found = connection.execute(f"{_STUDY} WHERE name = ?", (draft.name,)).fetchone()
        if found is not None:
            return self._study_record(found), False
        with self._connections.writing(durable=self._is_durable) as connection:
            sql = (
                "INSERT OR IGNORE INTO studies (name, directions, metrics, seed, summary, space, attributes, created) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
            )
            is_new = connection.execute(sql, rows.study_row(draft, self._clock.now())).rowcount == 1
            if is_new:
                connection.execute("INSERT INTO counters (study) SELECT id FROM studies WHERE name = ?", (draft.name,))
                self._done(connection, True)
            found = connection.execute(f"{_STUDY} WHERE name = ?", (draft.name,)).fetchone()
        return self._study_record(found), is_new

    def studies(self) -> tuple[StudyRecord, ...]:
        with self._connections.reading() as connection:
            found = connection.execute(f"{_STUDY} ORDER BY id").fetchall()
        return tuple(map(self._study_record, found))

    def delete_study(self, study: int) -> None:
        with self._connections.writing(durable=self._is_durable) as connection:
            if connection.execute("DELETE FROM studies WHERE id = ?", (study,)).rowcount == 0:
                raise self._no_study(connection, study)
            for table in ("counters", "leases", "reports", "trials", "domains"):
                connection.execute(f"DELETE FROM {table} WHERE study = ?", (study,))
            self._done(connection, True)

    def restore(self, record: StudyRecord, trials: Sequence[TrialRecord]) -> StudyRecord:
        """Writes a study as another storage has it, with all its trials and their reports; gives its record here.

        RUNNING trials come as lost ones. Revisions begin anew.

        Raises:
            ValueError: the name is taken, or the trials are not numbered from 0 without gaps.
        """
        restoring.check_trials(record, trials)
        with self._connections.writing(durable=self._is_durable) as connection:
            number = restoring.write_study(connection, self._domains, record, trials, self.shown)
            found = connection.execute(f"{_STUDY} WHERE id = ?", (number,)).fetchone()
        return self._study_record(found)

    def check(self) -> list[str]:
        """What is wrong with the file, one line each; empty when all is sound."""
        return checking.problems(self._connections.reading)

    # ------------------------------------------------------------------------------------------------------- trials

    def add(
        self, study: int, draft: Draft, *, worker: str, number: int | None = None, limit: int | None = None
    ) -> TrialRecord | None:
        rules.check_draft(draft, worker)
        steps = rules.plain_steps(draft.steps)
        is_running, is_finished = draft.state is State.RUNNING, draft.state in rules.FINISHED
        does_count = rules.counts(draft.state, 1 if is_running else 0)
        now = self._clock.now()
        row = rows.new_row(draft, worker, now)
        owner = None
        with self._connections.writing(durable=self._is_durable and is_finished) as connection:
            revision, count, counted = self._counters(connection, study)
            if number is not None and number != count:
                return None
            if does_count and limit is not None and counted >= limit:
                return None
            domains = self._domains.ids(connection, study, draft.domains)
            connection.execute(_ADD_TRIAL, (_trial_id(study, count), study, revision + 1, count, domains, *row))
            self._add_reports(connection, study, count, revision + 1, steps)
            if is_running:
                owner = self._owner(connection)
                self._hold(connection, study, count, 1, owner)
            sql = "UPDATE counters SET revision = ?, trials = ?, counted = counted + ? WHERE study = ?"
            connection.execute(sql, (revision + 1, count + 1, does_count, study))
            self._done(connection, count)
        self._my_owner = owner or self._my_owner
        return rules.new_record(count, draft, self._domains.mapping_of(domains, draft.domains), worker, now)

    def claim(
        self, study: int, number: int, *, worker: str, until: int | None = None, limit: int | None = None
    ) -> TrialRecord | None:
        rules.text("worker", worker)
        number, until = index(number), rules.whole(until)
        with self._connections.writing() as connection:
            revision, _, counted = self._counters(connection, study)
            state, attempt = self._state(connection, study, number)
            if state in rules.FINISHED or (state is State.RUNNING and not self._is_lost(connection, study, number)):
                return None
            adds = 0 if rules.counts(state, attempt) else 1
            if adds and limit is not None and counted >= limit:
                return None
            sql = (
                "UPDATE trials SET revision = ?, state = ?, attempt = ?, worker = ?, until = ?, "
                "started = coalesce(started, ?) WHERE id = ?"
            )
            now = rows.micros(self._clock.now())
            trial = _trial_id(study, number)
            connection.execute(sql, (revision + 1, State.RUNNING.value, attempt + 1, worker, until, now, trial))
            owner = self._owner(connection)
            self._hold(connection, study, number, attempt + 1, owner)
            connection.execute(_COUNT, (adds, study))
            row = connection.execute(f"{_TRIAL} WHERE id = ?", (trial,)).fetchone()
            self._domains.load(connection, study, [row[1]])
            self._done(connection, attempt + 1)
        self._my_owner = owner
        return rows.trial_record(row, self._domains)

    def renew(self, study: int, number: int, attempt: int) -> None:
        number, attempt = index(number), index(attempt)
        with self._connections.writing() as connection:
            if not self._prolong(connection, study, number, attempt):
                self._counters(connection, study)
                state, present = self._state(connection, study, number)
                rules.check_write(number, state, present, attempt, None)
                raise StaleLease(number, attempt)

    def write(self, study: int, number: int | None, attempt: int, update: Update) -> None:
        rules.check_update(update)
        if number is None:
            self._write_study(study, update)
            return
        number, attempt = index(number), index(attempt)
        steps = rules.plain_steps(update.steps)
        note, attributes = rules.plain(update.note), rules.plain(update.attributes)
        changes_record = rules.touches_record(update)
        columns = rows.changed_columns(update, self._clock.now()) if changes_record else {}
        is_durable = self._is_durable and update.state in rules.FINISHED
        with self._connections.writing(durable=is_durable) as connection:
            revision = self._counters(connection, study)[0] + 1
            adds = self._check_write(connection, study, number, attempt, update.state)
            if changes_record:
                self._merge(connection, _trial_id(study, number), {"note": note, "attributes": attributes}, columns)
                if update.domains is not None:
                    columns["domains"] = self._domains.ids(connection, study, update.domains)
                names = ", ".join(f"{name} = ?" for name in ("revision", *columns))
                row = (revision, *columns.values(), _trial_id(study, number))
                connection.execute(f"UPDATE trials SET {names} WHERE id = ?", row)
            self._add_reports(connection, study, number, revision, steps)
            if update.state is not None:
                connection.execute("DELETE FROM leases WHERE study = ? AND number = ?", (study, number))
            else:
                self._prolong(connection, study, number, attempt)
            if changes_record or steps:
                connection.execute(_COUNT, (adds, study))
            self._done(connection, True)

    def read(self, study: int, after: int = 0) -> Delta:
        found: Any = None
        trials: list[Any] = []
        reports: list[Any] = []
        with self._connections.reading() as connection:
            sql = "SELECT revision, changed FROM counters WHERE study = ?"
            revision, changed = connection.execute(sql, (study,)).fetchone() or (None, 0)
            if revision is None:
                raise self._no_study(connection, study)
            if after <= 0 or changed > after:
                found = connection.execute(f"{_STUDY} WHERE id = ?", (study,)).fetchone()
            if revision > after:
                sql = f"{_TRIAL} WHERE study = ? AND revision > ? ORDER BY revision"
                trials = connection.execute(sql, (study, after)).fetchall()
                self._domains.load(connection, study, (row[1] for row in trials))
                sql = (
                    "SELECT number, step, measured FROM reports WHERE study = ? AND revision > ? "
                    "ORDER BY revision, number, step"
                )
                reports = connection.execute(sql, (study, after)).fetchall()
            lost = self._lost(connection, study)
        return Delta(
            revision=revision,
            study=None if found is None else self._study_record(found),
            trials=tuple(rows.trial_record(row, self._domains) for row in trials),
            reports=rows.reports(reports),
            lost=lost,
        )

    def close(self) -> None:
        if self._named is not None:
            with contextlib.suppress(StorageError), self._connections.writing() as connection:
                self._named.give_up(connection)
        self.detach()

    def detach(self) -> None:
        """Closes all files; an owner with a name holds its trials on, until their leases run out."""
        self._owners.close()
        self._connections.close()

    # -------------------------------------------------------------------------------------------------- named owners

    def calling(self, number: int, oldest: int) -> contextlib.AbstractContextManager[None]:
        """Keeps what the verb called inside has done, in the same transaction, for ``outcome``.

        Args:
            number: of this call, among all calls of this owner.
            oldest: what calls before this one have done may be forgotten.
        """
        return contextlib.nullcontext() if self._named is None else self._named.calling(number, oldest)

    def outcome(self, number: int) -> Any:
        """What call ``number`` has done: ``add`` its trial's number, ``claim`` the attempt, others True; None: nothing."""
        if self._named is None:
            return None
        with self._connections.reading() as connection:
            return self._named.outcome(connection, number)

    def _take_up(self) -> None:
        """Finds the owner of this name again; what it held before a restart of the machine, it gets a new lease for."""
        if self._named is None:
            return
        with self._connections.reading() as connection:
            number, boot = self._named.find(connection)
        if number is None:
            return
        if boot != boot_id():
            with self._connections.writing() as connection:
                self._named.go_on(connection, number, self._deadline())
        self._my_owner = (self._named.token, number)

    def _done(self, connection: sqlite3.Connection, outcome: Any) -> None:
        if self._named is not None:
            self._named.keep(connection, outcome)

    # ---------------------------------------------------------------------------------------- inside a transaction

    def _counters(self, connection: sqlite3.Connection, study: int) -> tuple[int, int, int]:
        """Revision, number of trials, number of those that count."""
        sql = "SELECT revision, trials, counted FROM counters WHERE study = ?"
        found = connection.execute(sql, (study,)).fetchone()
        if found is None:
            raise self._no_study(connection, study)
        revision, count, counted = found
        return revision, count, counted

    def _state(self, connection: sqlite3.Connection, study: int, number: int) -> tuple[State, int]:
        """State and attempt of a trial."""
        sql = "SELECT state, attempt FROM trials WHERE id = ? AND study = ?"
        found = connection.execute(sql, (_trial_id(study, number), study)).fetchone() if number >= 0 else None
        if found is None:
            name = connection.execute("SELECT name FROM studies WHERE id = ?", (study,)).fetchone()[0]
            raise TrialNotFound(rules.no_trial(name, number, self._counters(connection, study)[1]))
        try:
            return State(found[0]), found[1]
        except ValueError as error:
            raise rows.damaged(f"Trial {number}", error) from error

    def _check_write(
        self, connection: sqlite3.Connection, study: int, number: int, attempt: int, after: State | None
    ) -> int:
        """Whether the write is allowed; returns how it changes the count of trials that count."""
        sql = "SELECT 1 FROM leases WHERE study = ? AND number = ? AND attempt = ?"
        if connection.execute(sql, (study, number, attempt)).fetchone():
            state, present = State.RUNNING, attempt
        else:
            state, present = self._state(connection, study, number)
        rules.check_write(number, state, present, attempt, after)
        return 0 if after is None else rules.counts(after, attempt) - rules.counts(state, attempt)

    def _merge(
        self,
        connection: sqlite3.Connection,
        trial: int,
        changes: Mapping[str, Mapping[str, Any]],
        columns: dict[str, Any],
    ) -> None:
        """Adds the columns that are merged with what is there."""
        for name, change in changes.items():
            if change:
                old = connection.execute(f"SELECT {name} FROM trials WHERE id = ?", (trial,)).fetchone()[0]
                columns[name] = rows.text_or_null(rules.merged(rules.from_json(old or "{}"), change))

    def _add_reports(
        self,
        connection: sqlite3.Connection,
        study: int,
        number: int,
        revision: int,
        steps: Mapping[int, Mapping[str, float]],
    ) -> None:
        for step, values in steps.items():
            connection.execute(_ADD_REPORT, (study, number, step, revision, rules.to_json(values)))

    def _write_study(self, study: int, update: Update) -> None:
        with self._connections.writing() as connection:
            revision = self._counters(connection, study)[0] + 1
            if not update.attributes and update.space is None:
                return
            old = connection.execute("SELECT attributes FROM studies WHERE id = ?", (study,)).fetchone()[0]
            attributes = rules.merged(rules.from_json(old or "{}"), update.attributes)
            space = None if update.space is None else rules.to_json(dict(update.space))
            sql = "UPDATE studies SET attributes = ?, space = coalesce(?, space) WHERE id = ?"
            connection.execute(sql, (rows.text_or_null(attributes), space, study))
            sql = "UPDATE counters SET revision = ?, changed = ? WHERE study = ?"
            connection.execute(sql, (revision, revision, study))
            self._done(connection, True)

    # ------------------------------------------------------------------------------------------------------- leases

    def _owner(self, connection: sqlite3.Connection) -> tuple[str, int]:
        """This object's token and id; they are known for good once the transaction is committed."""
        token = self._owners.token()
        if self._my_owner[0] == token:
            return self._my_owner
        cursor = connection.execute("INSERT INTO owners (token, boot) VALUES (?, ?)", (token, boot_id()))
        return token, cursor.lastrowid or 0

    def _deadline(self) -> float:
        return self._clock.monotonic() + LEASE_SECONDS

    def _hold(
        self, connection: sqlite3.Connection, study: int, number: int, attempt: int, owner: tuple[str, int]
    ) -> None:
        sql = "INSERT OR REPLACE INTO leases (study, number, attempt, owner, deadline) VALUES (?, ?, ?, ?, ?)"
        connection.execute(sql, (study, number, attempt, owner[1], self._deadline()))

    def _prolong(self, connection: sqlite3.Connection, study: int, number: int, attempt: int) -> bool:
        sql = "UPDATE leases SET deadline = ? WHERE study = ? AND number = ? AND attempt = ?"
        return connection.execute(sql, (self._deadline(), study, number, attempt)).rowcount == 1

    def _lost(self, connection: sqlite3.Connection, study: int) -> tuple[int, ...]:
        sql = "SELECT number, owner, deadline FROM leases WHERE study = ? ORDER BY number"
        leases = connection.execute(sql, (study,)).fetchall()
        now = self._clock.monotonic()
        lives = {owner: self._is_alive(connection, owner) for owner in {owner for _, owner, _ in leases}}
        self._owners.forget_others({self._known_owners[owner][0] for owner in lives if owner in self._known_owners})
        return tuple(number for number, owner, deadline in leases if deadline <= now or not lives[owner])

    def _is_lost(self, connection: sqlite3.Connection, study: int, number: int) -> bool:
        sql = "SELECT owner, deadline FROM leases WHERE study = ? AND number = ?"
        found = connection.execute(sql, (study, number)).fetchone()
        return found is None or found[1] <= self._clock.monotonic() or not self._is_alive(connection, found[0])

    def _is_alive(self, connection: sqlite3.Connection, owner: int) -> bool:
        """Whether that owner lives, and its deadlines are times of this boot."""
        known = self._known_owners.get(owner)
        if known is None:
            known = connection.execute("SELECT token, boot FROM owners WHERE id = ?", (owner,)).fetchone()
            if known is None:
                return False
            self._known_owners[owner] = known
        token, boot = known
        return boot == boot_id() and self._owners.is_alive(token)

    # ------------------------------------------------------------------------------------------------------- shapes

    def _study_record(self, row: Any) -> StudyRecord:
        record = rows.study_record(row)
        self._names[record.id] = record.name
        return record

    def _no_study(self, connection: sqlite3.Connection, study: int) -> StudyNotFound:
        names = [name for (name,) in connection.execute("SELECT name FROM studies")]
        return StudyNotFound(self._names.get(study, rules.NO_NAME.format(study)), self.shown, names)


def _trial_id(study: int, number: int) -> int:
    return (study << 32) | number
