"""``History``: what one snapshot says, and that snapshots agree however they came to be."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honed.domains import Bool, Categorical, Domain, Float, Int
from honed.encode import coordinates
from honed.errors import TrialNotFound
from honed.history import STATES, History
from honed.records import Cause, Delta, Direction, Report, State, StudyRecord, TrialRecord
from honed.space import Space
from honed.testing import strategies as honed_st

STUDY = StudyRecord(name="s")
SPACE = Space(lr=Float(1e-4, 1, log=True), n=Int(1, 3))


def trial(number: int, state: State = State.COMPLETE, value: float | None = 1.0, **changes) -> TrialRecord:
    params = {"lr": 0.01, "n": 2}
    record = TrialRecord(number=number, state=state, params=params, domains=SPACE.domains)
    if state in (State.COMPLETE, State.STOPPED):
        record = replace(record, values=None if value is None else (value,))
    return replace(record, **changes)


def history(*records: TrialRecord, study: StudyRecord = STUDY, space: Space | None = SPACE, reports=()) -> History:
    return History.empty(study, space).extend(Delta(revision=1, trials=records, reports=tuple(reports)))


def asked(number: int, domains: dict[str, Domain], state: State = State.COMPLETE, units: float = 0.4) -> TrialRecord:
    params = {name: domain.decode(units) for name, domain in domains.items()}
    values = (float(number),) if state is State.COMPLETE else None
    return TrialRecord(number=number, state=state, params=params, domains=domains, values=values)


def number_of_best(h: History) -> int | None:
    return None if h.best is None else h.best.number


def everything(h: History) -> dict:
    """All that a policy can see of a history."""
    columns, curves = h.columns, h.curves()
    return {
        "trials": [(r.number, r.state, dict(r.params), r.values, r.cause, r.attempt, r.reports) for r in h],
        "finished": [r.number for r in h.finished],
        "unfinished": [r.number for r in h.unfinished],
        "space": (list(h.space.domains.items()), dict(h.space.conditions), h.space.declared),
        "columns": [a.tobytes() for a in (columns.numbers, columns.states, columns.params, columns.losses)],
        "curves": [a.tobytes() for a in (curves.numbers, curves.steps, curves.losses)],
        "other": [a.tobytes() for a in (h.curves("train_loss").numbers, h.curves("train_loss").losses)],
        "counts": [h.count(state) for state in State],
        "rest": (len(h), h.n_finished, h.n_counted, h.lost, h.revision, number_of_best(h)),
    }


# --------------------------------------------------------------------------------------- however it came to be


@st.composite
def studies(draw: st.DrawFn):
    """A study's first history, and what happened to it one by one; its space may have been another one before."""
    space = draw(honed_st.spaces(max_size=3))
    before = draw(st.one_of(st.just(space), honed_st.edits(space)))
    declared = space if draw(st.booleans()) else None
    direction: Direction = draw(st.sampled_from(("minimize", "maximize")))
    first = History.empty(replace(STUDY, directions=(direction,)), declared)
    return first, draw(honed_st.delta_lists(before, max_size=6))


@settings(max_examples=60, deadline=None)
@given(study=studies(), data=st.data())
def test_one_by_one_equals_all_at_once_and_old_snapshots_stay(study, data: st.DataObject):
    first, deltas = study
    snapshots, seen = [first], [everything(first)]
    for delta in deltas:
        if data.draw(st.booleans()):  # some are looked at on the way, others are not
            everything(snapshots[-1])
        snapshots.append(snapshots[-1].extend(delta))
        seen.append(everything(snapshots[-1]))
    for n, snapshot in enumerate(snapshots):
        assert everything(snapshot) == seen[n]  # later ones have not changed it
        whole = first.extend(honed_st.merged(deltas[:n]))
        assert everything(whole) == seen[n]


@settings(max_examples=30, deadline=None)
@given(study=studies(), other=st.data())
def test_two_futures_of_one_snapshot_do_not_meet(study, other: st.DataObject):
    first, deltas = study
    middle = first
    for delta in deltas[: len(deltas) // 2]:
        middle = middle.extend(delta)
    before = everything(middle)
    left = middle
    for delta in deltas[len(deltas) // 2 :]:
        left = left.extend(delta)
    seen = everything(left)
    new = replace(asked(len(middle), {"other": Bool()}), values=(-1e9,))
    right = middle.extend(Delta(revision=middle.revision + 1, trials=(new,)))
    assert right[len(middle)].params == {"other": False}
    assert everything(middle) == before
    assert everything(left) == seen
    assert "other" in right.space
    assert "other" not in left.space


def test_an_empty_delta_changes_nothing():
    h = history(trial(0))
    assert h.extend(Delta(revision=1)) is h
    later = h.extend(Delta(revision=7, lost=(3,)))
    assert (later.revision, later.lost, len(later)) == (7, (3,), 1)


def test_a_finished_trial_never_changes():
    h = history(trial(0, value=1.0))
    again = h.extend(Delta(revision=2, trials=(trial(0, value=5.0),)))
    assert again[0].value == 1.0
    assert again.n_finished == len(again) == 1


def test_a_history_does_not_change():
    with pytest.raises(AttributeError, match="revision belongs to one revision"):
        history().revision = 3
    with pytest.raises(ValueError, match="read-only"):
        history(trial(0)).columns.params[0, 0] = 3.0


def test_a_missing_trial_is_named():
    with pytest.raises(TrialNotFound, match="Study 's' has no trial 7; it has 2, numbered from 0"):
        history(trial(0), trial(1, State.RUNNING))[7]
    h = history(trial(0))
    h.extend(Delta(revision=2, trials=(trial(1),)))
    assert 1 not in h
    with pytest.raises(TrialNotFound):
        h[1]


# ----------------------------------------------------------------------------------------------------- what it says


def test_counts():
    h = history(
        trial(0), trial(1, State.STOPPED), trial(2, State.FAILED, cause=Cause.OOM), trial(3, State.RUNNING, attempt=1),
        trial(4, State.PAUSED, attempt=1), trial(5, State.WAITING), trial(6, State.WAITING, attempt=2),
    )  # fmt: skip
    assert [h.count(state) for state in State] == [2, 1, 1, 1, 1, 1]
    assert h.count(State.COMPLETE, State.STOPPED) == 2
    assert (len(h), h.n_finished, h.n_counted) == (7, 3, 5)
    assert [r.number for r in h.unfinished] == [3, 4, 5, 6]
    assert [r.number for r in h.finished_since(1)] == [1, 2]
    assert 6 in h
    assert 7 not in h


@pytest.mark.parametrize(
    ("direction", "values", "best"),
    [
        ("minimize", [3.0, 1.0, 2.0], 1),
        ("maximize", [3.0, 1.0, 2.0], 0),
        ("minimize", [2.0, 2.0], 0),
        ("maximize", [2.0, 2.0], 0),
        ("minimize", [math.nan, 5.0, math.nan], 1),
        ("maximize", [math.nan, -5.0], 1),
        ("minimize", [math.inf, 1e308], 1),
        ("minimize", [math.nan], None),
        ("minimize", [None, 1.0], 1),
        ("minimize", [], None),
    ],
)
def test_the_best_is_the_first_of_the_best_and_never_nan(direction, values, best):
    h = History.empty(replace(STUDY, directions=(direction,)))
    for number, value in enumerate(values):
        record = trial(number, State.FAILED if value is None else State.COMPLETE, value)
        h = h.extend(Delta(revision=number + 1, trials=(record,)))
    assert number_of_best(h) == best


def test_the_older_of_equals_is_best_in_any_order_of_finishing():
    h = history(trial(0, State.RUNNING), trial(1, value=2.0))
    assert number_of_best(h) == 1
    assert number_of_best(h.extend(Delta(revision=2, trials=(trial(0, value=2.0),)))) == 0


def test_columns_hold_coordinates_and_losses_turned_to_smaller_is_better():
    study = StudyRecord(name="s", directions=("maximize", "minimize"), metrics=("acc", "loss"))
    h = history(
        trial(1, values=(0.9, 0.1)), trial(0, State.FAILED, values=(0.5, 0.5)), trial(2, State.STOPPED, values=(0.7, 0.3)),
        study=study,
    )  # fmt: skip
    columns = h.columns
    assert columns.numbers.tolist() == [1, 0, 2]
    assert [STATES[i] for i in columns.states] == [State.COMPLETE, State.FAILED, State.STOPPED]
    assert columns.losses[[0, 2]].tolist() == [[-0.9, 0.1], [-0.7, 0.3]]
    assert np.isnan(columns.losses[1]).all()
    assert columns.params[0].tolist() == coordinates(SPACE, h[1].params)


def test_failures_that_the_configuration_is_to_blame_for():
    causes = [None, *Cause]
    records = [
        trial(i, State.COMPLETE) if cause is None else trial(i, State.FAILED, None, cause=cause)
        for i, cause in enumerate(causes)
    ]
    late = trial(len(causes), State.FAILED, None, cause=Cause.TIMEOUT, values=(0.5,))
    columns = history(*records, late).columns
    blamed = {Cause.INFEASIBLE, Cause.OOM, Cause.TIMEOUT}
    assert columns.is_infeasible.tolist() == [cause in blamed for cause in causes] + [True]
    assert np.isnan(columns.losses[-1, 0])  # what it had reached by then is no result


def test_curves_hold_each_step_once_with_its_latest_value():
    study = replace(STUDY, directions=("maximize",))
    reports = [Report(0, 1, {"value": 0.1, "train": 5.0}), Report(0, 2, {"value": 0.2})]
    h = history(trial(0, State.RUNNING), study=study, reports=reports)
    first = h.curves()
    h = h.extend(Delta(revision=2, reports=(Report(0, 1, {"value": 0.7}), Report(0, 3, {"value": 0.3}))))
    assert first.losses.tolist() == [-0.1, -0.2]
    assert list(zip(h.curves().steps, h.curves().losses, strict=True)) == [(2, -0.2), (1, -0.7), (3, -0.3)]
    assert h.curves("train").losses.tolist() == [5.0]
    assert [report.step for report in h[0].reports] == [1, 2, 3]
    assert h[0].reports[0].values == {"value": 0.7}
    assert h[0].last_step == 3
    assert h.curves("nothing").numbers.tolist() == []


def test_reports_stay_with_their_trial_to_its_end():
    h = history(trial(0, State.RUNNING), reports=[Report(0, 1, {"value": 0.5})])
    h = h.extend(Delta(revision=2, trials=(trial(0),), reports=(Report(0, 2, {"value": 0.4}),)))
    assert [report.step for report in h[0].reports] == [1, 2]
    assert h.finished[0].reports == h[0].reports


# ------------------------------------------------------------------------------------------------- the joint space


def test_names_follow_the_first_trial_that_asked_and_domains_the_last():
    h = history(
        asked(2, {"b": Int(1, 9), "c": Bool()}), asked(0, {"a": Float(0, 1), "b": Int(1, 5)}), asked(1, {"d": Bool()}),
        space=None,
    )  # fmt: skip
    assert list(h.space.domains.items()) == [("a", Float(0, 1)), ("b", Int(1, 9)), ("d", Bool()), ("c", Bool())]
    assert h.space.declared == ()


def test_names_of_running_trials_come_last_until_one_finishes():
    h = history(asked(0, {"z": Bool(), "a": Bool()}, State.RUNNING), asked(1, {"b": Bool()}), space=None)
    assert list(h.space.domains) == ["b", "z", "a"]
    assert list(h.extend(Delta(revision=2, trials=(asked(0, {"z": Bool()}),))).space.domains) == ["z", "b"]


def test_a_declared_domain_stays_whatever_trials_asked():
    old = asked(0, {"lr": Float(0, 9), "extra": Bool()})
    h = history(old, space=SPACE)
    assert list(h.space.domains.items()) == [*SPACE.domains.items(), ("extra", Bool())]
    assert h.declared == SPACE
    assert h.space.declared == ("lr", "n")
    assert h.columns.params[0, 0] == pytest.approx(coordinates(SPACE, {"lr": 3.6})[0])


def test_the_space_is_the_same_object_while_nothing_is_new():
    h = history(asked(0, {"a": Float(0, 1)}), space=None)
    more = h.extend(Delta(revision=2, trials=(asked(1, {"a": Float(0, 1)}),)))
    assert more.space is h.space
    wider = more.extend(Delta(revision=3, trials=(asked(2, {"a": Float(0, 2)}),)))
    assert wider.space["a"] == Float(0, 2)
    assert more.space["a"] == Float(0, 1)


def test_a_widened_range_encodes_old_trials_anew_and_keeps_the_others():
    narrow, wide = {"x": Float(0, 1), "y": Bool()}, {"x": Float(0, 2), "y": Bool()}
    h = history(asked(0, narrow), asked(1, narrow), space=None)
    before = h.columns.params
    after = h.extend(Delta(revision=2, trials=(asked(2, wide),))).columns.params
    assert before[:, 0].tolist() == [0.4, 0.4]
    assert after[:, 0].tolist() == [0.2, 0.2, 0.4]
    assert after[:2, 1].tolist() == before[:, 1].tolist()


def test_a_removed_choice_and_a_new_name_keep_old_trials():
    h = history(
        asked(0, {"act": Categorical(["relu", "tanh"])}, units=0.9),
        asked(1, {"act": Categorical(["relu", "gelu"]), "dropout": Float(0, 1)}, units=0.9),
        space=None,
    )
    assert h.columns.params[:, 0].tolist() == [-1, 1]
    assert math.isnan(h.columns.params[0, 1])
    assert len(h) == 2


def test_the_space_stored_with_a_study_is_declared():
    h = History.empty(replace(STUDY, space=SPACE.to_json()))
    assert h.space == SPACE
    assert h.declared.declared == ("lr", "n")


# ------------------------------------------------------------------------------------------------------- what it costs


def test_a_trial_is_encoded_once(monkeypatch: pytest.MonkeyPatch):
    """One more trial in a study of 10,000 with 20 parameters costs the encoding of one trial."""
    space = Space({f"x{i}": Float(0, 1) for i in range(20)})
    params = dict.fromkeys(space.domains, 0.5)
    records = [
        TrialRecord(number=n, state=State.COMPLETE, params=params, domains=space.domains, values=(1.0,))
        for n in range(10_001)
    ]
    h = History.empty(STUDY, space).extend(Delta(revision=1, trials=tuple(records[:10_000])))
    assert h.columns.params.shape == (10_000, 20)
    calls = 0
    encode = Float.encode

    def counted(self: Float, value: float) -> float:
        nonlocal calls
        calls += 1
        return encode(self, value)

    monkeypatch.setattr(Float, "encode", counted)
    h = h.extend(Delta(revision=2, trials=(records[10_000],)))
    assert calls == 0  # nobody has asked for columns
    assert h.columns.params.shape == (10_001, 20)
    assert calls == 20
    assert h.columns.losses.shape == (10_001, 1)
    assert calls == 20


def test_a_new_name_encodes_its_own_column_only(monkeypatch: pytest.MonkeyPatch):
    h = history(*[asked(n, {"a": Float(0, 1), "b": Float(0, 1)}) for n in range(50)], space=None)
    assert h.columns.params.shape == (50, 2)
    calls = 0
    encode = Float.encode

    def counted(self: Float, value: float) -> float:
        nonlocal calls
        calls += 1
        return encode(self, value)

    monkeypatch.setattr(Float, "encode", counted)
    more = h.extend(Delta(revision=2, trials=(asked(50, {"a": Float(0, 1), "b": Float(0, 1), "c": Float(0, 1)}),)))
    assert more.columns.params.shape == (51, 3)
    assert calls == 3


def test_a_fold_takes_each_finished_trial_once():
    seen: list[int] = []

    def add(state: list[int], record: TrialRecord) -> None:
        seen.append(record.number)
        state.append(record.number)

    h = history(trial(3), trial(1), trial(2, State.RUNNING))
    assert h.fold("key", list, add) == [3, 1]
    later = h.extend(Delta(revision=2, trials=(trial(2), trial(0))))
    assert later.fold("key", list, add) == [3, 1, 2, 0]
    assert later.fold("key", list, add) == [3, 1, 2, 0]
    assert seen == [3, 1, 2, 0]
    assert h.fold("key", list, add) == [3, 1]  # an older snapshot gathers again
    assert later.fold("key", list, add) == [3, 1, 2, 0]
    for n in range(40):
        later.fold(n, list, add)
    assert later.fold("key", list, add) == [3, 1, 2, 0]


def test_a_record_with_other_reports_is_a_copy():
    record = trial(0)
    report = Report(0, 1, {"value": 1.0})
    changed = record.with_reports((report,))
    assert changed == replace(record, reports=(report,))
    assert record.reports == ()
    assert copy.deepcopy(changed.reports) == (report,)
