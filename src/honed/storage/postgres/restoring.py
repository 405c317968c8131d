"""A whole study written to PostgreSQL as another storage has it, in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from honed.clock import SYSTEM_CLOCK
from honed.optional import require
from honed.records import State, StudyRecord, TrialRecord
from honed.storage import rows, rules
from honed.storage.postgres import statements
from honed.storage.postgres.connection import Connection
from honed.storage.postgres.domains import PostgresDomains
from honed.storage.restoring import check_trials, name_taken, restored_row

if TYPE_CHECKING:
    import psycopg
else:
    psycopg = require("psycopg", "postgres")

_NOBODY = 0  # no owner has this id, so that a lease of this one is a lost trial


def restore(server: Connection, record: StudyRecord, trials: Sequence[TrialRecord], stamp: str) -> int:
    """Writes the study and its trials, whose revisions are in the order given; returns the study's id.

    Raises:
        ValueError: the name is taken, or the trials are not numbered from 0 without gaps.
    """
    check_trials(record, trials)
    draft = rules.checked_study(record)
    values = dict(zip(statements.STUDY_VALUES, rows.study_row(draft, draft.created or SYSTEM_CLOCK.now()), strict=True))
    values |= {"stamp": stamp}

    def task(connection: psycopg.Connection, again: bool) -> int:
        with connection.transaction():
            is_new = connection.execute(statements.CREATE_STUDY, {**values, "again": False}).fetchone() == (True,)
            sql = "SELECT id, stamps FROM honed.studies WHERE name = %s"
            found = connection.execute(sql, (draft.name,)).fetchone()
            if found is not None and not is_new and again and stamp in found[1]:
                return int(found[0])
            if not is_new or found is None:
                raise ValueError(name_taken(draft.name, server.shown))
            _fill(connection, int(found[0]), trials)
            return int(found[0])

    return server.work(task)


def _fill(connection: psycopg.Connection, study: int, trials: Sequence[TrialRecord]) -> None:
    domains = rows.DomainTable(PostgresDomains())  # not the storage's: this transaction may be rolled back
    names = f"study, revision, {rows.TRIAL_COLUMNS}, stamps"
    _copy(
        connection, "trials", names, [_trial(connection, domains, study, i + 1, each) for i, each in enumerate(trials)]
    )
    _copy(connection, "reports", "study, number, step, revision, measured", _reports(study, trials))
    running = [each for each in trials if each.state is State.RUNNING]
    leases = ((study, each.number, each.attempt, _NOBODY, "", 0.0) for each in running)
    _copy(connection, "leases", "study, number, attempt, owner, claim, deadline", leases)
    counted = sum(rules.counts(each.state, each.attempt) for each in trials)
    sql = "UPDATE honed.counters SET revision = %s, trials = %s, counted = %s WHERE study = %s"
    connection.execute(sql, (len(trials), len(trials), counted, study))


def _copy(connection: psycopg.Connection, table: str, columns: str, found: Iterable[Sequence[Any]]) -> None:
    statement = f"COPY honed.{table} ({columns}) FROM STDIN".encode()
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in found:
            copy.write_row(row)


def _trial(
    connection: psycopg.Connection, domains: rows.DomainTable, study: int, revision: int, trial: TrialRecord
) -> tuple[Any, ...]:
    ids = domains.ids(connection, study, trial.domains)
    return (study, revision, trial.number, ids, *restored_row(trial), "")


def _reports(study: int, trials: Sequence[TrialRecord]) -> Iterator[tuple[Any, ...]]:
    for i, trial in enumerate(trials):
        steps = rules.plain_steps({report.step: report.values for report in trial.reports})
        for step, values in steps.items():
            yield study, trial.number, step, i + 1, rules.to_json(values)
