"""Rows of a database to records and back.

Decoding is the larger half of reading a long study, so it shares what it can: trials that asked with the same domains
get one mapping, and empty notes are one object.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from operator import is_
from types import MappingProxyType
from typing import Any, Protocol

from honed.domains import Domain, domain_from_json
from honed.errors import StorageDamaged
from honed.records import EMPTY, Cause, Draft, Report, State, StudyRecord, TrialRecord, Update
from honed.storage.rules import FINISHED, floats, from_json, plain, readable, stored_domain, to_json, whole

STUDY_COLUMNS = "id, name, directions, metrics, seed, summary, space, attributes, created, revision"
TRIAL_COLUMNS = (
    "number, domains, state, attempt, params, told, until, checkpoint, parent, note, attributes, cause, message, "
    "worker, created, started, finished"
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_STATES = {state.value: state for state in State}
_CAUSES: dict[str | None, Cause | None] = {None: None, **{cause.value: cause for cause in Cause}}
WRONG = (ValueError, TypeError, KeyError, IndexError, OverflowError)  # what nonsense leads to


def micros(time: datetime | None) -> int | None:
    """A time as it is stored."""
    return None if time is None else (time - _EPOCH) // _MICROSECOND


def _time(stored: int | None) -> datetime | None:
    return None if stored is None else _EPOCH + timedelta(microseconds=stored)


def text_or_null(values: Mapping[str, Any]) -> str | None:
    """JSON, and NULL for an empty mapping."""
    return to_json(dict(values)) if values else None


def _view(stored: str | None) -> Mapping[str, Any]:
    return EMPTY if stored is None else MappingProxyType(from_json(stored))


def damaged(what: str, error: Exception) -> StorageDamaged:
    """The error for contents that no honed has written."""
    return StorageDamaged(
        f"{what} cannot be read: its contents are damaged ({error!r}). Copy the file before anything else; restore a "
        "backup, or delete the study."
    )


def _id_list(text: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",")] if text else []
    except ValueError as error:
        raise damaged("A trial", error) from error


class DomainRows(Protocol):
    """The table of domains in one dialect; ``domain`` is JSON."""

    def stored(self, connection: Any, study: int, name: str, domain: str) -> tuple[int, bool]:
        """The id of a domain, which is added if need be; and whether it was there before."""
        ...

    def listed(self, connection: Any, study: int, least: int) -> Iterable[tuple[int, str, str]]:
        """Id, name and domain of all with at least that id."""
        ...


class SQLiteDomains:
    """The table of domains in a file."""

    def stored(self, connection: sqlite3.Connection, study: int, name: str, domain: str) -> tuple[int, bool]:
        """The id of a domain, and whether it was there before."""
        row = (study, name, domain)
        sql = "SELECT id FROM domains WHERE study = ? AND name = ? AND domain = ?"
        found = connection.execute(sql, row).fetchone()
        if found is not None:
            return found[0], True
        cursor = connection.execute("INSERT INTO domains (study, name, domain) VALUES (?, ?, ?)", row)
        return cursor.lastrowid or 0, False

    def listed(self, connection: sqlite3.Connection, study: int, least: int) -> list[tuple[int, str, str]]:
        """Id, name and domain of all with at least that id."""
        sql = "SELECT id, name, domain FROM domains WHERE study = ? AND id >= ?"
        return connection.execute(sql, (study, least)).fetchall()


class DomainTable:
    """The domains of a storage.

    A trial's row has their ids, ``3,4,7``; the records of all trials with these ids have one mapping.
    """

    def __init__(self, rows: DomainRows | None = None) -> None:
        self._rows = rows or SQLiteDomains()
        self._ids: dict[tuple[int, str, Domain], int] = {}
        self._domains: dict[int, tuple[str, Domain]] = {}
        self._mappings: dict[str, Mapping[str, Domain]] = {"": EMPTY}
        self._last: tuple[int, tuple[str, ...], tuple[Domain, ...], str] = (0, (), (), "")

    def ids(self, connection: Any, study: int, domains: Mapping[str, Domain]) -> str:
        """The ids of these domains as text; unknown ones are added to the table."""
        if not domains:
            return ""
        names, values = tuple(domains), tuple(domains.values())
        last = self._last
        if last[0] == study and last[1] == names and all(map(is_, last[2], values)):
            return last[3]
        ids, are_known = [], True
        for name, domain in domains.items():
            number = self._ids.get((study, name, domain))
            if number is None:
                number, was_there = self._stored(connection, study, name, domain)
                are_known = are_known and was_there
            ids.append(number)
        text = ",".join(map(str, ids))
        if are_known:
            self._last = (study, names, values, text)
        return text

    def _stored(self, connection: Any, study: int, name: str, domain: Domain) -> tuple[int, bool]:
        """The id of a domain, and whether it was there before: only then no rollback can take it away."""
        number, was_there = self._rows.stored(connection, study, name, to_json(domain.to_json()))
        if was_there:
            self._ids[study, name, domain] = number
        return number, was_there

    def mapping_of(self, text: str, domains: Mapping[str, Domain]) -> Mapping[str, Domain]:
        """The shared mapping for domains whose ids are committed."""
        if text not in self._mappings:
            for number, (name, domain) in zip(_id_list(text), domains.items(), strict=True):
                self._domains.setdefault(number, (name, stored_domain(domain)))
        return self.mapping(text)

    def load(self, connection: Any, study: int, texts: Iterable[str]) -> None:
        """Reads the domains that these texts stand for, where they are not known yet."""
        known = self._domains
        new = set(texts).difference(self._mappings)
        missing = {number for text in new for number in _id_list(text) if number not in known}
        if not missing:
            return
        try:
            for number, name, domain in self._rows.listed(connection, study, min(missing)):
                known.setdefault(number, (name, domain_from_json(from_json(domain))))
        except WRONG as error:
            raise damaged("A domain", error) from error

    def mapping(self, text: str) -> Mapping[str, Domain]:
        """The domains that these ids, loaded before, stand for."""
        mapping = self._mappings.get(text)
        if mapping is None:
            mapping = MappingProxyType(dict(self._domains[number] for number in _id_list(text)))
            mapping = self._mappings.setdefault(text, mapping)
        return mapping


# ---------------------------------------------------------------------------------------------------------- studies


def study_row(draft: StudyRecord, now: datetime) -> tuple[Any, ...]:
    """The values for a new row, from ``name`` to ``created``."""
    return (
        draft.name,
        to_json(list(draft.directions)),
        to_json(list(draft.metrics)),
        str(draft.seed),
        draft.summary,
        None if draft.space is None else to_json(dict(draft.space)),
        text_or_null(draft.attributes),
        micros(now),
    )


def study_record(row: Sequence[Any]) -> StudyRecord:
    """The record of a row of ``STUDY_COLUMNS``."""
    try:
        number, name, directions, metrics, seed, summary, space, attributes, created, revision = row
        return StudyRecord(
            id=number,
            name=name,
            directions=tuple(from_json(directions)),
            metrics=tuple(from_json(metrics)),
            seed=int(seed),
            summary=summary,
            space=None if space is None else from_json(space),
            attributes=_view(attributes),
            created=_time(created),
            revision=revision,
        )
    except WRONG as error:
        raise damaged(f"Study {row[0]!r}", error) from error


# ----------------------------------------------------------------------------------------------------------- trials


def new_row(draft: Draft, worker: str, now: datetime) -> tuple[Any, ...]:
    """The values of ``TRIAL_COLUMNS`` for a trial that is added now, without number and domains."""
    is_running, time = draft.state is State.RUNNING, micros(now)
    return (
        draft.state.value,
        1 if is_running else 0,
        to_json(plain(draft.params)),
        None if draft.values is None else to_json(floats(draft.values)),
        whole(draft.until),
        draft.checkpoint,
        whole(draft.parent),
        to_json(plain(draft.note)) if draft.note else None,
        to_json(plain(draft.attributes)) if draft.attributes else None,
        None if draft.cause is None else draft.cause.value,
        readable(draft.message),
        worker,
        time,
        time if is_running else None,
        time if draft.state in FINISHED else None,
    )


def trial_record(row: Sequence[Any], table: DomainTable) -> TrialRecord:
    """The record of a row of ``TRIAL_COLUMNS``, whose domains are loaded."""
    try:
        told = row[5]
        return TrialRecord(
            number=row[0],
            domains=table.mapping(row[1]),
            state=_STATES[row[2]],
            attempt=row[3],
            params=MappingProxyType(from_json(row[4])),
            values=None if told is None else tuple(from_json(told)),
            until=row[6],
            checkpoint=row[7],
            parent=row[8],
            note=_view(row[9]),
            attributes=_view(row[10]),
            cause=_CAUSES[row[11]],
            message=row[12],
            worker=row[13],
            created=_time(row[14]),
            started=_time(row[15]),
            finished=_time(row[16]),
        )
    except WRONG as error:
        raise damaged(f"Trial {row[0]!r}", error) from error


def changed_columns(update: Update, now: datetime) -> dict[str, Any]:
    """Columns of ``trials`` and their new values, for all of an update but domains, note and attributes."""
    columns: dict[str, Any] = {}
    if update.params is not None:
        columns["params"] = to_json(plain(update.params))
    if update.values is not None:
        columns["told"] = to_json(floats(update.values))
    if update.state is not None:
        columns["state"] = update.state.value
        if update.state in FINISHED:
            columns["finished"] = micros(now)
    if update.until is not None:
        columns["until"] = whole(update.until)
    if update.checkpoint is not None:
        columns["checkpoint"] = update.checkpoint
    if update.cause is not None:
        columns["cause"] = update.cause.value
    if update.message is not None:
        columns["message"] = readable(update.message)
    return columns


def reports(found: Sequence[Sequence[Any]]) -> tuple[Report, ...]:
    """The reports of rows of number, step and measured; their JSON is read in one piece, which is twice as fast."""
    try:
        measured = from_json(f"[{','.join([row[2] for row in found])}]")
        return tuple([Report(row[0], row[1], values) for row, values in zip(found, measured, strict=True)])
    except WRONG as error:
        raise damaged(f"Reports of trial {_broken(found)}", error) from error


def _broken(found: Sequence[Sequence[Any]]) -> object:
    """The trial of the first report that is no JSON."""
    for number, _, measured in found:
        try:
            from_json(measured)
        except WRONG:
            return number
    return "?"
