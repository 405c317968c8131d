"""Rungs and standings: incremental, right after corrections, and old snapshots stay as they were."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honed.history import History
from honed.records import Delta, Direction, Report, State, StudyRecord, TrialRecord

NAN = math.nan


def study(direction: Direction = "minimize") -> History:
    return History.empty(StudyRecord(name="s", directions=(direction,), metrics=("loss",)))


def reported(history: History, *reports: tuple[int, int, float]) -> History:
    """After these (trial, step, value), one delta."""
    new = [TrialRecord(number=n, state=State.RUNNING) for n in sorted({r[0] for r in reports}) if n not in history]
    told = tuple(Report(number, step, {"loss": value, "time": -value}) for number, step, value in reports)
    return history.extend(Delta(revision=history.revision + 1, trials=tuple(new), reports=told))


def rows(history: History, step: int, metric: str | None = None, direction: Direction | None = None) -> dict:
    rung = history.rung(step, metric, direction)
    return {
        int(number): (float(loss), float(best))
        for number, loss, best in zip(rung.numbers, rung.losses, rung.bests, strict=True)
    }


def test_values_and_bests_at_exactly_that_step():
    history = reported(study(), (0, 1, 3.0), (0, 2, 5.0), (1, 2, 4.0))
    assert rows(history, 1) == {0: (3.0, 3.0)}
    assert rows(history, 2) == {0: (5.0, 3.0), 1: (4.0, 4.0)}
    assert rows(history, 3) == {}


def test_directions_are_turned_once():
    history = reported(study("maximize"), (0, 1, 3.0), (0, 2, 5.0), (0, 3, 4.0))
    assert rows(history, 3) == {0: (-4.0, -5.0)}
    assert rows(history, 3, "time") == {0: (-4.0, -5.0)}
    assert rows(history, 3, "time", "maximize") == {0: (4.0, 3.0)}
    assert rows(history, 3, "unknown") == {}


def test_a_replaced_report_changes_the_bests_after_it():
    before = reported(study(), (0, 1, 3.0), (0, 2, 2.0), (0, 3, 5.0), (1, 3, 1.0))
    assert rows(before, 3) == {0: (5.0, 2.0), 1: (1.0, 1.0)}
    kept = before.rung(3)
    after = reported(before, (0, 2, 4.0))
    assert rows(after, 2) == {0: (4.0, 3.0)}
    assert rows(after, 3) == {0: (5.0, 3.0), 1: (1.0, 1.0)}
    assert kept.bests.tolist() == [2.0, 1.0]
    assert rows(before, 3) == {0: (5.0, 2.0), 1: (1.0, 1.0)}
    assert rows(after, 3) == {0: (5.0, 3.0), 1: (1.0, 1.0)}


def test_a_report_of_an_earlier_step_counts_from_there():
    history = reported(reported(study(), (0, 1, 3.0), (0, 3, 5.0)), (0, 2, 1.0))
    assert rows(history, 1) == {0: (3.0, 3.0)}
    assert rows(history, 2) == {0: (1.0, 1.0)}
    assert rows(history, 3) == {0: (5.0, 1.0)}


def test_nan_is_kept_and_is_no_best():
    history = reported(study(), (0, 1, NAN), (0, 2, 2.0), (0, 3, NAN))
    assert str(rows(history, 1)) == "{0: (nan, nan)}"
    assert rows(history, 2) == {0: (2.0, 2.0)}
    assert str(rows(history, 3)) == "{0: (nan, 2.0)}"


def test_two_snapshots_grow_apart():
    base = reported(study(), (0, 1, 3.0))
    left, right = reported(base, (1, 1, 1.0)), reported(base, (2, 1, 2.0), (1, 1, 9.0))
    assert rows(left, 1) == {0: (3.0, 3.0), 1: (1.0, 1.0)}
    assert rows(right, 1) == {0: (3.0, 3.0), 1: (9.0, 9.0), 2: (2.0, 2.0)}
    assert rows(base, 1) == {0: (3.0, 3.0)}


def test_standings_are_state_and_grant_of_each_snapshot():
    first = study().extend(Delta(revision=1, trials=(TrialRecord(number=0, state=State.RUNNING, until=3),)))
    told = first.standings()
    paused = (TrialRecord(number=0, state=State.PAUSED, until=3), TrialRecord(number=1, state=State.RUNNING))
    second = first.extend(Delta(revision=2, trials=paused))
    assert second.standings().are(State.PAUSED).tolist() == [True, False]
    assert second.standings().untils.tolist() == [3, 2**62]
    assert first.standings().are(State.RUNNING).tolist() == [True]
    assert told.are(State.RUNNING).tolist() == [True]
    assert len(study().standings().states) == 0
    with pytest.raises(ValueError, match="read-only"):
        told.untils[0] = 5


def test_the_length_of_a_full_training_is_announced_or_reached():
    assert study().max_steps is None
    announced = study().extend(
        Delta(revision=1, trials=(TrialRecord(number=0, state=State.RUNNING, note={"n_steps": 9}),))
    )
    assert announced.max_steps == 9
    longer = reported(announced, (1, 12, 1.0))
    assert longer.max_steps == 9
    done = TrialRecord(number=1, state=State.COMPLETE, values=(1.0,))
    assert longer.extend(Delta(revision=3, trials=(done,))).max_steps == 12
    assert longer.limited(5).max_steps == 9


REPORTS = st.lists(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 4), st.sampled_from([1.0, 2.0, 3.0, NAN])), min_size=1, max_size=4
    ),
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(REPORTS, st.lists(st.integers(0, 8), max_size=6))
def test_any_order_of_reports_and_of_asking_agrees_with_the_definition(deltas, asked):
    snapshots = [study()]
    curves: list[dict[int, dict[int, float]]] = [defaultdict(dict)]
    for delta in deltas:
        known: dict[int, dict[int, float]] = defaultdict(
            dict, {number: dict(curve) for number, curve in curves[-1].items()}
        )
        for number, step, value in delta:
            known[number][step] = value
        snapshots.append(reported(snapshots[-1], *delta))
        curves.append(known)
    for i in [*asked, *range(len(snapshots))]:
        i = min(i, len(snapshots) - 1)
        for step in range(5):
            rung = snapshots[i].rung(step)
            assert sorted(rung.numbers) == sorted(number for number, curve in curves[i].items() if step in curve)
            for number, loss, best in zip(rung.numbers.tolist(), rung.losses, rung.bests, strict=True):
                curve = curves[i][number]
                upto = [value for s, value in curve.items() if s <= step and value == value]
                np.testing.assert_equal(loss, curve[step])
                np.testing.assert_equal(best, min(upto, default=NAN))
