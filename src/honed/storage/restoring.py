"""A whole study written as another storage has it: every number, time and attempt as it was, only revisions begin anew."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from honed.clock import SYSTEM_CLOCK
from honed.records import State, StudyRecord, TrialRecord
from honed.storage import rows, rules

_NOBODY = 0  # no owner has this id, so that a lease of this one is a lost trial
_ADD_TRIAL = f"INSERT INTO trials (id, study, revision, {rows.TRIAL_COLUMNS}) VALUES (?, ?, ?{', ?' * 17})"


def name_taken(name: str, shown: str) -> str:
    """The message where a study of that name is there already."""
    return (
        f"{shown} has a study {name!r} already; nothing was written. Give the copy another name: "
        f"honed storage copy ... --rename {name}=OTHER"
    )


def check_trials(record: StudyRecord, trials: Sequence[TrialRecord]) -> None:
    """Whether these are all trials of a study.

    Raises:
        ValueError: a number is missing or there twice.
    """
    numbers = sorted(trial.number for trial in trials)
    if numbers != list(range(len(numbers))):
        wrong = next(i for i, number in enumerate(numbers) if i != number)
        raise ValueError(
            f"trials={numbers[:20]} of study {record.name!r} must be numbered from 0 without gaps; look at number {wrong}"
        )


def write_study(
    connection: sqlite3.Connection,
    domains: rows.DomainTable,
    record: StudyRecord,
    trials: Sequence[TrialRecord],
    shown: str,
) -> int:
    """Writes the study and its trials, whose revisions are in the order given; returns the study's id.

    Raises:
        ValueError: the name is taken.
    """
    draft = rules.checked_study(record)
    if connection.execute("SELECT 1 FROM studies WHERE name = ?", (draft.name,)).fetchone():
        raise ValueError(name_taken(draft.name, shown))
    sql = (
        "INSERT INTO studies (name, directions, metrics, seed, summary, space, attributes, created) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
    )
    study = connection.execute(sql, rows.study_row(draft, draft.created or SYSTEM_CLOCK.now())).lastrowid or 0
    counted = sum(rules.counts(trial.state, trial.attempt) for trial in trials)
    sql = "INSERT INTO counters (study, revision, trials, counted) VALUES (?, ?, ?, ?)"
    connection.execute(sql, (study, len(trials), len(trials), counted))
    for i, trial in enumerate(trials):
        _write_trial(connection, domains, study, i + 1, trial)
    return study


def _write_trial(
    connection: sqlite3.Connection, domains: rows.DomainTable, study: int, revision: int, trial: TrialRecord
) -> None:
    number = trial.number
    ids = domains.ids(connection, study, trial.domains)
    connection.execute(_ADD_TRIAL, ((study << 32) | number, study, revision, number, ids, *restored_row(trial)))
    steps = rules.plain_steps({report.step: report.values for report in trial.reports})
    measured = ((study, number, step, revision, rules.to_json(values)) for step, values in steps.items())
    connection.executemany(
        "INSERT INTO reports (study, number, step, revision, measured) VALUES (?, ?, ?, ?, ?)", measured
    )
    if trial.state is State.RUNNING:
        sql = "INSERT INTO leases (study, number, attempt, owner, deadline) VALUES (?, ?, ?, ?, 0)"
        connection.execute(sql, (study, number, trial.attempt, _NOBODY))


def restored_row(trial: TrialRecord) -> tuple[object, ...]:
    """The values of ``TRIAL_COLUMNS``, without number and domains."""
    return (
        trial.state.value,
        trial.attempt,
        rules.to_json(rules.plain(trial.params)),
        None if trial.values is None else rules.to_json(rules.floats(trial.values)),
        trial.until,
        trial.checkpoint,
        trial.parent,
        rows.text_or_null(trial.note),
        rows.text_or_null(trial.attributes),
        None if trial.cause is None else trial.cause.value,
        rules.readable(trial.message),
        trial.worker,
        rows.micros(trial.created),
        rows.micros(trial.started),
        rows.micros(trial.finished),
    )
