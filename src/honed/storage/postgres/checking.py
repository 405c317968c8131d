"""Whether a PostgreSQL storage is sound in itself: rows that belong together, counters, contents that can be read.

Everything is one line for people, naming the study and the trial. Nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from honed.errors import StorageDamaged
from honed.optional import require
from honed.storage import rows
from honed.storage.postgres.domains import PostgresDomains
from honed.storage.rules import FINISHED

if TYPE_CHECKING:
    import psycopg
else:
    psycopg = require("psycopg", "postgres")

_MOST = 20  # lines of one kind
_TABLES = ("counters", "domains", "trials", "reports", "leases")

# What no row may be, and how it is told. The columns are the study's id, and a trial's number or NULL.
_RULES = (
    ("SELECT s.id, NULL FROM honed.studies s WHERE s.id NOT IN (SELECT study FROM honed.counters)", "has no counters"),
    (
        (
            "SELECT DISTINCT r.study, r.number FROM honed.reports r LEFT JOIN honed.trials t USING (study, number) "
            "WHERE t.number IS NULL"
        ),
        "has reports, but there is no such trial",
    ),
    (
        (
            "SELECT l.study, l.number FROM honed.leases l LEFT JOIN honed.trials t USING (study, number) "
            "WHERE t.number IS NULL OR t.state <> 'running' OR t.attempt <> l.attempt"
        ),
        "has a lease, but is not running with its attempt",
    ),
    (
        (
            "SELECT t.study, t.number FROM honed.trials t LEFT JOIN honed.leases l USING (study, number) "
            "WHERE t.state = 'running' AND l.number IS NULL"
        ),
        "is running without a lease: nobody would ever go on with it",
    ),
    (
        (
            "SELECT t.study, t.number FROM honed.trials t JOIN honed.counters c USING (study) "
            "WHERE t.revision > c.revision OR t.revision < 1"
        ),
        "has a revision that its study never had",
    ),
    (
        (
            "SELECT DISTINCT r.study, r.number FROM honed.reports r JOIN honed.counters c USING (study) "
            "WHERE r.revision > c.revision OR r.revision < 1"
        ),
        "has reports of a revision that its study never had",
    ),
    ("SELECT study, NULL FROM honed.counters WHERE changed > revision", "was changed at a revision that it never had"),
)
_COUNTS = """
    SELECT c.study, c.trials, c.counted, count(t.number), coalesce(sum(honed.counts(t.state, t.attempt)), 0)::bigint,
        count(t.number) FILTER (WHERE t.number < 0 OR t.number >= c.trials)
    FROM honed.counters c LEFT JOIN honed.trials t USING (study) GROUP BY c.study, c.trials, c.counted ORDER BY c.study
"""


def problems(connection: psycopg.Connection) -> list[str]:
    """What is wrong with the database, one line each."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        return list(_all_of(connection))


def _all_of(connection: psycopg.Connection) -> Iterator[str]:
    names: dict[int, str] = dict(connection.execute("SELECT id, name FROM honed.studies ORDER BY id").fetchall())
    for table in _TABLES:
        sql = f"SELECT study, count(*) FROM honed.{table} WHERE study NOT IN (SELECT id FROM honed.studies) GROUP BY study"
        for study, n_rows in connection.execute(sql.encode()).fetchall():
            yield f"{table}: {n_rows} rows of study #{study}, which does not exist"
    for sql, what in _RULES:
        for study, number in connection.execute(f"{sql} LIMIT {_MOST}".encode()).fetchall():
            if study in names:
                yield f"{_name(names, study, number)} {what}"
    for study, *said, n_trials, counted, n_outside in connection.execute(_COUNTS).fetchall():
        if study in names:
            for what, n_said, n_there in (("trials", said[0], n_trials), ("trials that count", said[1], counted)):
                if n_said != n_there:
                    yield f"{_name(names, study)} counts {n_said} {what}, its rows are {n_there}"
            if n_outside:
                yield f"{_name(names, study)} has {n_outside} trials whose numbers are outside of its {said[0]}"
    for study in names:
        yield from _contents(connection, names, study)


def _contents(connection: psycopg.Connection, names: dict[int, str], study: int) -> Iterator[str]:
    """Whether every row can be read."""
    sql = f"SELECT {rows.STUDY_COLUMNS} FROM honed.studies JOIN honed.counters ON counters.study = studies.id WHERE id = %s"
    for row in connection.execute(sql.encode(), (study,)).fetchall():
        try:
            rows.study_record(row)
        except StorageDamaged as error:
            yield f"{_name(names, study)}: {error}"
    sql = f"SELECT {rows.TRIAL_COLUMNS} FROM honed.trials WHERE study = %s ORDER BY number"
    for row in connection.execute(sql.encode(), (study,)).fetchall():
        problem = _trial(connection, study, row)
        if problem:
            yield f"{_name(names, study, row[0])} {problem}"
    sql = "SELECT number, step, measured FROM honed.reports WHERE study = %s ORDER BY number, step"
    for row in connection.execute(sql.encode(), (study,)).fetchall():
        try:
            rows.reports([row])
        except StorageDamaged:
            yield f"{_name(names, study, row[0])}: its report of step {row[1]} cannot be read"


def _trial(connection: psycopg.Connection, study: int, row: Any) -> str:
    """What is wrong with the contents of a trial."""
    table = rows.DomainTable(PostgresDomains())
    try:
        table.load(connection, study, [row[1]])
        record = rows.trial_record(row, table)
    except StorageDamaged:
        return "cannot be read, or names a domain that is not there"
    if record.state in FINISHED and record.values is None and record.cause is None:
        return f"is {record.state.value} without values and without a cause"
    return ""


def _name(names: dict[int, str], study: int, number: int | None = None) -> str:
    return f"study {names[study]!r}" + ("" if number is None else f", trial {number}")
