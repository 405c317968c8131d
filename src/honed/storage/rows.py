"""Rows of an SQLite storage to records and back.

Decoding is the larger half of reading a long study, so it shares what it can: trials that asked with the same domains get
one mapping, and empty notes are one object.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from operator import is_
from types import MappingProxyType
from typing import Any

from honed.domains import Domain, domain_from_json
from honed.errors import StorageDamaged
from honed.records import EMPTY, Cause, Report, State, StudyRecord, TrialRecord, Update
from honed.storage.rules import FINISHED, floats, from_json, plain, readable, to_json

STUDY_COLUMNS = "id, name, directions, metrics, seed, summary, space, attributes, created, revision"
TRIAL_COLUMNS = (
    "number, state, attempt, params, domains, told, until, checkpoint, parent, note, attributes, cause, message, worker, "
    "created, started, finished"
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_STATES = {state.value: state for state in State}
_CAUSES: dict[str | None, Cause | None] = {None: None, **{cause.value: cause for cause in Cause}}
_WRONG = (ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError)  # what nonsense leads to


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
        f"{what} cannot be read: its contents are damaged ({error!r}). Copy the file before anything else; restore a backup, "
        "or delete the study."
    )


class DomainTable:
    """The domains of a file: a trial's row has their ids; a record has one mapping shared by all with the same ids."""

    def __init__(self) -> None:
        self._ids: dict[tuple[int, str, Domain], int] = {}
        self._domains: dict[int, Domain] = {}
        self._mappings: dict[tuple[int, tuple[str, ...], str], Mapping[str, Domain]] = {}
        self._last: tuple[int, tuple[str, ...], tuple[Domain, ...], str] = (0, (), (), "[]")

    def ids(self, connection: sqlite3.Connection, study: int, domains: Mapping[str, Domain]) -> str:
        """The text that stands for these domains; unknown ones are added to the table."""
        names, values = tuple(domains), tuple(domains.values())
        last = self._last
        if last[0] == study and last[1] == names and all(map(is_, last[2], values)):
            return last[3]
        ids, all_kept = [], True
        for name, domain in domains.items():
            number = self._ids.get((study, name, domain))
            if number is None:
                number, is_kept = self._stored(connection, study, name, domain)
                all_kept = all_kept and is_kept
            ids.append(number)
        text = to_json(ids)
        if all_kept:
            self._last = (study, names, values, text)
        return text

    def _stored(self, connection: sqlite3.Connection, study: int, name: str, domain: Domain) -> tuple[int, bool]:
        """The id of a domain, and whether it was there before: only then no rollback can take it away."""
        row = (study, name, to_json(domain.to_json()))
        sql = "SELECT id FROM domains WHERE study = ? AND name = ? AND domain = ?"
        found = connection.execute(sql, row).fetchone()
        if found is not None:
            self._ids[study, name, domain] = found[0]
            return found[0], True
        cursor = connection.execute("INSERT INTO domains (study, name, domain) VALUES (?, ?, ?)", row)
        return cursor.lastrowid or 0, False

    def load(self, connection: sqlite3.Connection, study: int, texts: Iterable[str]) -> None:
        """Reads the domains that these texts stand for, where they are not known yet."""
        known = self._domains
        missing = {number for text in texts for number in _id_list(text) if number not in known}
        if not missing:
            return
        rows = connection.execute("SELECT id, domain FROM domains WHERE study = ? AND id >= ?", (study, min(missing)))
        try:
            for number, domain in rows.fetchall():
                if number not in known:
                    known[number] = domain_from_json(from_json(domain))
        except _WRONG as error:
            raise damaged("A domain", error) from error

    def mapping(self, study: int, names: tuple[str, ...], text: str) -> Mapping[str, Domain]:
        """The domains that were loaded for this text."""
        mapping = self._mappings.get((study, names, text))
        if mapping is None:
            found = (self._domains[number] for number in _id_list(text))
            mapping = MappingProxyType(dict(zip(names, found, strict=True)))
            self._mappings[study, names, text] = mapping
        return mapping
