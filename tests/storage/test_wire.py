"""What is sent as JSON comes back equal, and shares what was shared."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings

from honed.domains import Float, Int
from honed.records import Delta, Draft, Report, State, StudyRecord, TrialRecord, Update
from honed.storage import wire
from honed.storage.rules import new_record, plain, plain_steps
from tests.storage.test_state_machine import DRAFTS, UPDATES
from tests.storage.test_state_machine import plain as comparable

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def through(sent: Any) -> Any:
    return json.loads(json.dumps(sent))


def tidy(record: Any) -> Any:
    """As any storage takes it: plain JSON types, and steps that are whole numbers."""
    steps = {step: values for step, values in record.steps.items() if step >= 0}
    return replace(record, note=plain(record.note), attributes=plain(record.attributes), steps=plain_steps(steps))


@given(draft=DRAFTS)
@settings(max_examples=200, deadline=None)
def test_drafts_and_records(draft: Draft) -> None:
    draft = tidy(draft)
    assert comparable(wire.Reader().draft(through(wire.draft_to_json(draft)))) == comparable(draft)
    record = new_record(3, draft, draft.domains, "w", NOW)
    record = record.with_reports(tuple(Report(3, step, values) for step, values in draft.steps.items()))
    assert comparable(wire.Reader().trial(through(wire.trial_to_json(record)))) == comparable(record)


@given(update=UPDATES)
@settings(max_examples=200, deadline=None)
def test_updates(update: Update) -> None:
    update = tidy(update)
    assert comparable(wire.Reader().update(through(wire.update_to_json(update)))) == comparable(update)


def test_no_params_are_not_unchanged_params() -> None:
    update = Update(params={}, domains={})
    assert wire.Reader().update(through(wire.update_to_json(update))) == update


def test_a_study() -> None:
    record = StudyRecord(
        name="a", directions=("minimize", "maximize"), metrics=("x", "y"), seed=2**80, space={"x": 1}, created=NOW
    )
    assert wire.study_from_json(through(wire.study_to_json(record))) == record


def test_deltas_share_domains() -> None:
    domains = {"lr": Float(1e-5, 1, log=True), "n": Int(1, 3)}
    trials = tuple(
        TrialRecord(number=i, state=State.RUNNING, params={"lr": 0.1, "n": 2}, domains=domains, created=NOW)
        for i in range(3)
    )
    delta = Delta(
        revision=7, study=StudyRecord(name="a"), trials=trials, reports=(Report(1, 2, {"value": 0.5}),), lost=(2,)
    )
    sent = through(wire.delta_to_json(delta))
    assert len(sent["domains"]) == 2
    reader = wire.Reader()
    first, second = reader.delta(sent), reader.delta(through(sent))
    assert comparable(first) == comparable(delta)
    shared = {id(trial.domains) for trial in (*first.trials, *second.trials)}
    assert len(shared) == 1
