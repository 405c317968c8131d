"""Whether an SQLite storage is sound in itself: pages, rows that belong together, counters, contents that can be read.

Everything is one line for people, naming the study and the trial. Nothing is changed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from honed.domains import domain_from_json
from honed.errors import StorageDamaged
from honed.records import State
from honed.storage import rows
from honed.storage.rules import FINISHED, counts, from_json

_MOST = 20  # lines of one kind; a file damaged all over needs no more
_TABLES = ("counters", "domains", "trials", "reports", "leases")
_RUNNING = State.RUNNING.value

# What no row may be, and how it is told. The first column is the study's id, the second a trial's number or NULL.
_RULES = (
    (
        (
            "SELECT studies.id, NULL FROM studies LEFT JOIN counters ON counters.study = studies.id "
            "WHERE counters.study IS NULL"
        ),
        "has no counters",
    ),
    ("SELECT study, number FROM trials WHERE id != (study << 32) | number", "is stored under another number's key"),
    (
        (
            "SELECT DISTINCT reports.study, reports.number FROM reports "
            "LEFT JOIN trials ON trials.id = (reports.study << 32) | reports.number WHERE trials.id IS NULL"
        ),
        "has reports, but there is no such trial",
    ),
    (
        (
            "SELECT leases.study, leases.number FROM leases "
            "LEFT JOIN trials ON trials.id = (leases.study << 32) | leases.number "
            f"WHERE trials.id IS NULL OR trials.state != '{_RUNNING}' OR trials.attempt != leases.attempt"
        ),
        "has a lease, but is not running with its attempt",
    ),
    (
        (
            "SELECT trials.study, trials.number FROM trials LEFT JOIN leases "
            "ON leases.study = trials.study AND leases.number = trials.number "
            f"WHERE trials.state = '{_RUNNING}' AND leases.study IS NULL"
        ),
        "is running without a lease: nobody would ever go on with it",
    ),
    (
        (
            "SELECT trials.study, trials.number FROM trials JOIN counters ON counters.study = trials.study "
            "WHERE trials.revision > counters.revision OR trials.revision < 1"
        ),
        "has a revision that its study never had",
    ),
    (
        (
            "SELECT DISTINCT reports.study, reports.number FROM reports JOIN counters ON counters.study = reports.study "
            "WHERE reports.revision > counters.revision OR reports.revision < 1"
        ),
        "has reports of a revision that its study never had",
    ),
    ("SELECT study, NULL FROM counters WHERE changed > revision", "was changed at a revision that it never had"),
)


def problems(reading: Callable[[], AbstractContextManager[sqlite3.Connection]]) -> list[str]:
    """What is wrong with the file, one line each.

    Args:
        reading: gives a connection with a snapshot.
    """
    found: list[str] = []
    try:
        with reading() as connection:
            found.extend(_all_of(connection))
    except StorageDamaged as error:  # so badly that a table cannot be searched
        found.append(f"the check ended early: {error}")
    return found


def _all_of(connection: sqlite3.Connection) -> Iterator[str]:
    try:
        pages = [row[0] for row in connection.execute(f"PRAGMA integrity_check({_MOST})")]
    except sqlite3.DatabaseError as error:
        pages = [str(error)]
    if pages != ["ok"]:
        yield from (f"pages: {line}" for line in pages)
    names = dict(connection.execute("SELECT id, name FROM studies").fetchall())
    yield from _strays(connection)
    for sql, what in _RULES:
        for study, number in connection.execute(f"{sql} LIMIT {_MOST}").fetchall():
            if study in names:
                yield f"{_name(names, study, number)} {what}"
    for study in names:
        yield from _numbers(connection, names, study)
        yield from _contents(connection, names, study)


def _strays(connection: sqlite3.Connection) -> Iterator[str]:
    for table in _TABLES:
        sql = f"SELECT study, count(*) FROM {table} WHERE study NOT IN (SELECT id FROM studies) GROUP BY study"
        for study, n_rows in connection.execute(sql).fetchall():
            yield f"{table}: {n_rows} rows of study #{study}, which does not exist"


def _numbers(connection: sqlite3.Connection, names: dict[int, str], study: int) -> Iterator[str]:
    """Whether numbers are dense and the counters agree with the rows."""
    found = connection.execute("SELECT trials, counted FROM counters WHERE study = ?", (study,)).fetchone()
    stored = connection.execute("SELECT number, state, attempt FROM trials WHERE study = ?", (study,)).fetchall()
    missing = sorted(set(range(len(stored))) - {number for number, _, _ in stored})
    if missing:
        yield f"{_name(names, study)} has {len(stored)} trials, but none with number {missing[0]}"
    if found is None:
        return
    states = set(State)
    counted = sum(counts(State(state), attempt) for _, state, attempt in stored if state in states)
    for what, said, there in (("trials", found[0], len(stored)), ("trials that count", found[1], counted)):
        if said != there:
            yield f"{_name(names, study)} counts {said} {what}, its rows are {there}"


def _contents(connection: sqlite3.Connection, names: dict[int, str], study: int) -> Iterator[str]:
    """Whether every row can be read."""
    sql = f"SELECT {rows.STUDY_COLUMNS} FROM studies JOIN counters ON counters.study = studies.id WHERE id = ?"
    for row in connection.execute(sql, (study,)).fetchall():
        if not _is_readable(lambda row=row: rows.study_record(row)):
            yield f"{_name(names, study)} cannot be read"
    known = set()
    for number, name, domain in connection.execute("SELECT id, name, domain FROM domains WHERE study = ?", (study,)):
        if _is_readable(lambda domain=domain: domain_from_json(from_json(domain))):
            known.add(str(number))
        else:
            yield f"{_name(names, study)}: the domain of {name!r} cannot be read"
    for row in connection.execute(f"SELECT {rows.TRIAL_COLUMNS} FROM trials WHERE study = ?", (study,)):
        yield from (f"{_name(names, study, row[0])} {what}" for what in _trial(row, known))
    sql = "SELECT number, step, measured FROM reports WHERE study = ?"
    for number, step, measured in connection.execute(sql, (study,)):
        if not _is_readable(lambda row=(number, step, measured): rows.reports([row])):
            yield f"{_name(names, study, number)}: its report of step {step} cannot be read"


def _trial(row: Any, domains: set[str]) -> Iterator[str]:
    ids = row[1].split(",") if row[1] else []
    if not domains.issuperset(ids):
        yield "names a domain that is not there, or cannot be read"
    table = rows.DomainTable()
    try:
        record = rows.trial_record((row[0], "", *row[2:]), table)
    except StorageDamaged:
        yield "cannot be read"
        return
    if record.state in FINISHED and record.values is None and record.cause is None:
        yield f"is {record.state.value} without values and without a cause"


def _is_readable(read: Any) -> bool:
    try:
        read()
    except (StorageDamaged, AttributeError, *rows.WRONG):
        return False
    return True


def _name(names: dict[int, str], study: int, number: int | None = None) -> str:
    return f"study {names[study]!r}" + ("" if number is None else f", trial {number}")
