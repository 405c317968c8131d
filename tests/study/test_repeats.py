"""Values that are means: folds, repeats of a training with other seeds, and their errors."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import honed
from honed.errors import StudyMismatch
from honed.history import History
from honed.records import Cause, Decision, Delta, Report, State, StudyRecord, TrialRecord
from honed.schedulers.asha import ASHAStopping
from honed.schedulers.paired import Wilcoxon
from honed.schedulers.ranking import Ranking
from honed.schedulers.repeated import ClearlyWorse
from honed.spread import pooled, spread, with_error
from tests.study.test_study import quiet


def folds(values: list[float], returned: float | None = None) -> Any:
    def objective(trial: honed.Trial) -> float | None:
        trial.suggest_float("x", 0, 1)
        for fold in trial.steps(len(values)):
            trial.report(values[fold - 1])
        return returned

    return objective


# ----------------------------------------------------------------------------------------------------------- folds


@pytest.mark.parametrize("returned", [None, 0.2, 7.0])
def test_the_value_of_folds_is_their_mean_and_what_is_returned_beside_them_does_not_count(
    returned: float | None,
) -> None:
    study = honed.create_study(storage="memory", summary="mean")
    quiet(study, folds([0.3, 0.1, 0.2], returned), "random", 1)
    assert study.best_trial.value == pytest.approx(0.2, abs=1e-15)
    told = spread(study.record, study.best_trial)
    assert told is not None
    assert told.mean == study.best_trial.value
    assert told.standard_error == pytest.approx(0.1 / math.sqrt(3))
    assert (told.n, told.n_full, told.is_partial) == (3, 3, False)
    assert str(told) == "0.20 ± 0.06 (3)"


def test_an_objective_without_folds_returns_its_value() -> None:
    study = honed.create_study(storage="memory", summary="mean")
    quiet(study, lambda trial: 0.5, "random", 1)
    assert study.best_trial.value == 0.5
    assert spread(study.record, study.best_trial) is None


def test_a_fold_without_a_finite_value_makes_the_trial_infeasible() -> None:
    study = honed.create_study(storage="memory", summary="mean")
    quiet(study, lambda t: 1.0 if t.number else folds([0.3, math.inf, 0.2])(t), "random", 1)
    record = study.trials[0]
    assert (record.state, record.cause) == (State.FAILED, Cause.INFEASIBLE)
    assert record.message == "not finite: value=inf at step 2"
    number = study.add_trial({"x": 0.5}, reports={1: {"value": math.nan}, 2: {"value": 0.1}})
    assert study.trials[number].message == "not finite: value=nan at step 1"


def test_other_summaries_have_no_spread() -> None:
    study = honed.create_study(storage="memory")
    quiet(study, folds([0.3, 0.1, 0.2]), "random", 1)
    assert study.best_trial.value == 0.1
    assert spread(study.record, study.best_trial) is None


@given(st.lists(st.floats(-1.79e308, 1.79e308), min_size=1, max_size=5))
def test_the_mean_of_any_finite_folds_is_finite_and_lies_between_them(values: list[float]) -> None:
    study = honed.create_study(storage="memory", summary="mean")
    number = study.add_trial({}, reports={i: {"value": value} for i, value in enumerate(values)})
    value = study.trials[number].value
    assert value is not None
    slack = 1e-12 * max(map(abs, values))
    assert min(values) - slack <= value <= max(values) + slack


def test_a_trial_stopped_after_easy_folds_is_partial_and_not_the_best() -> None:
    """The first fold is easier than the others: a trial that saw only that one must not win by it."""
    study = honed.create_study(storage="memory", summary="mean")

    def objective(trial: honed.Trial) -> None:
        for fold in trial.steps(3):
            trial.report((0.1 if fold == 1 else 1.0) + (0.0 if trial.number == 0 else 0.01 * trial.number))

    quiet(study, objective, "random", 5, scheduler=ASHAStopping(min_steps=1, reduction_factor=2))
    stopped = [record for record in study.trials if record.state is State.STOPPED]
    assert stopped
    assert all(record.value is not None and record.value < 0.2 for record in stopped)
    assert study.best_trial.number == 0
    told = spread(study.record, stopped[0])
    assert told is not None
    assert told.is_partial
    assert str(told) == f"{stopped[0].value:.6g} (1 of 3)"


def test_schedulers_rank_by_the_mean_so_far_and_only_at_equal_folds() -> None:
    study = StudyRecord(name="a", summary="mean", id=1)
    curves = {0: [0.1, 0.9, 0.9], 1: [0.5, 0.5, 0.5], 2: [0.9, 0.0]}
    records = tuple(TrialRecord(number=n, state=State.RUNNING, attempt=1) for n in curves)
    reports = tuple(Report(n, i, {"value": v}) for n, vs in curves.items() for i, v in enumerate(vs, start=1))
    history = History.empty(study).extend(Delta(revision=1, study=study, trials=records, reports=reports))
    ranked = Ranking().at(history, 2)
    assert dict(zip(ranked.numbers.tolist(), ranked.scores.tolist(), strict=True)) == pytest.approx(
        {0: 0.5, 1: 0.5, 2: 0.45}
    )
    assert Ranking().at(history, 3).numbers.tolist() == [0, 1]
    assert Ranking().score(history, history[0], 3) == pytest.approx(1.9 / 3)
    assert Ranking(compare="value").at(history, 2).scores.tolist() == [0.9, 0.5, 0.0]


def test_several_objectives_are_means_each_and_ranked_by_them() -> None:
    study = honed.create_study(storage="memory", metrics=["loss", "accuracy"], directions=["minimize", "maximize"],
                               summary="mean")  # fmt: skip

    def objective(trial: honed.Trial) -> None:
        for fold in trial.steps(2):
            trial.report((fold + trial.number, fold / 10))

    quiet(study, objective, "random", 2)
    assert np.array([record.values for record in study.trials]) == pytest.approx(np.array([[1.5, 0.15], [2.5, 0.15]]))
    assert Ranking().at(study.history, 2).scores.tolist() == [0.0, 1.0]


def test_the_paired_test_stops_by_folds() -> None:
    study = honed.create_study(storage="memory", summary="mean")
    rng = Random(1)
    hard = [rng.random() for _ in range(10)]

    def objective(trial: honed.Trial) -> None:
        for fold in trial.steps(10):
            trial.report(hard[fold - 1] + 0.01 * trial.number)

    quiet(study, objective, "random", 2, scheduler=Wilcoxon())
    assert [record.state for record in study.trials] == [State.COMPLETE, State.STOPPED]
    assert study.best_trial.number == 0


def test_folds_that_were_reported_are_not_run_again(tmp_path: Path) -> None:
    def open_study() -> honed.Study:
        return honed.create_study(storage=tmp_path / "a.db", summary="mean", seed=3)

    seen: list[int] = []

    def objective(trial: honed.Trial) -> None:
        for fold in trial.steps(4):
            seen.append(fold)
            if len(seen) == 3:
                raise SystemExit(1)
            trial.report(fold / 10)

    with open_study() as study, pytest.raises(SystemExit):
        quiet(study, objective, "random", 1)
    with open_study() as study:
        quiet(study, objective, "random", 1)
        assert seen == [1, 2, 3, 3, 4]
        assert study.best_trial.value == pytest.approx(0.25)


# --------------------------------------------------------------------------------------------------------- repeats


def noisy(trial: honed.Trial) -> float:
    x = trial.suggest_float("x", -1, 1)
    return x * x + float(np.random.default_rng(trial.seed).normal(0, 0.05))


def test_repeats_are_one_point_for_the_sampler_and_one_row_with_an_error_bar() -> None:
    seen: list[tuple[int, int, int, float]] = []

    def objective(trial: honed.Trial) -> float:
        value = noisy(trial)
        seen.append((trial.number, trial.repeat, trial.seed, value))
        return value

    study = honed.create_study(storage="memory", seed=1, repeats=3)
    quiet(study, objective, "random", 2)
    assert [(number, repeat) for number, repeat, _, _ in seen] == [(n, k) for n in (0, 1) for k in (0, 1, 2)]
    assert len({seed for _, _, seed, _ in seen}) == 6
    assert all(0 <= seed < 2**32 for _, _, seed, _ in seen)
    assert study.history.columns.losses.shape == (2, 1)
    for record in study.trials:
        mine = [value for number, _, _, value in seen if number == record.number]
        assert record.value == pytest.approx(np.mean(mine))
        told = spread(study.record, record)
        assert told is not None
        assert told.standard_error == pytest.approx(np.std(mine, ddof=1) / math.sqrt(3))
    assert pooled(study.history).freedom == 4


def test_seeds_are_those_of_study_trial_and_repeat_alone() -> None:
    def seeds(seed: int, sampler: str, repeats: int | None) -> list[int]:
        found: list[int] = []
        study = honed.create_study(storage="memory", seed=seed, repeats=repeats)

        def objective(trial: honed.Trial) -> float:
            found.append(trial.seed)
            return noisy(trial)

        quiet(study, objective, sampler, 3)
        return found

    alone, repeated = seeds(7, "random", None), seeds(7, "sobol", 2)
    assert repeated[::2] == alone
    assert len({*repeated, *seeds(8, "random", 2)}) == 12
    assert honed.FixedTrial({}, seed=5).seed == 5


@pytest.mark.parametrize(("summary", "value"), [("best", 0.2), ("last", 0.4), ("mean", 0.3)])
def test_what_a_repeat_reports_is_summarised_to_its_value(summary: Any, value: float) -> None:
    def objective(trial: honed.Trial) -> None:
        trial.suggest_float("x", 0, 1)
        for epoch in trial.steps(3):
            trial.report([0.3, 0.2, 0.4][epoch - 1] + trial.repeat, train_loss=epoch)

    study = honed.create_study(storage="memory", summary=summary, repeats=2)
    quiet(study, objective, "random", 1)
    (record,) = study.trials
    assert record.value == pytest.approx(value + 0.5)
    assert [(r.step, r.values["train_loss"]) for r in record.reports] == [(1, 3.0), (2, 3.0)]
    assert record.note["n_steps"] == 2


def test_all_repeats_have_the_same_values_and_a_later_one_may_ask_for_more() -> None:
    asked: list[tuple[float, float]] = []

    def objective(trial: honed.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        y = trial.suggest_float("y", 0, 1) if trial.repeat else 0.0
        assert trial["x"] == x
        asked.append((x, y))
        return x + y

    study = honed.create_study(storage="memory", repeats=3)
    quiet(study, objective, "random", 1)
    assert len({x for x, _ in asked}) == 1
    assert asked[1] == asked[2]
    assert dict(study.best_trial.params) == {"x": asked[1][0], "y": asked[1][1]}


def test_a_repeat_that_diverges_fails_the_trial() -> None:
    seen: list[int] = []

    def objective(trial: honed.Trial) -> None:
        for epoch in trial.steps(5):
            seen.append(epoch)
            trial.report(math.nan if trial.repeat == 1 and epoch == 2 else 1.0)

    study = honed.create_study(storage="memory", repeats=3)
    quiet(study, lambda trial: 1.0 if trial.number else objective(trial), "random", 1)
    assert seen == [1, 2, 3, 4, 5, 1, 2]
    assert study.trials[0].message == "not finite: value=nan at step 2"


def test_several_objectives_are_repeated_too() -> None:
    study = honed.create_study(storage="memory", directions=["minimize", "maximize"], repeats=2)
    quiet(study, lambda trial: (trial.repeat, 10.0 * trial.repeat), "random", 4)
    assert all(record.values == (0.5, 5.0) for record in study.trials)
    assert study.history.count(State.COMPLETE) == 4


def test_an_interrupted_repeat_is_run_again_and_those_before_it_are_not(tmp_path: Path) -> None:
    def open_study() -> honed.Study:
        return honed.create_study(storage=tmp_path / "a.db", repeats=3, seed=3)

    seen: list[tuple[int, int]] = []

    def objective(trial: honed.Trial) -> None:
        x = trial.suggest_float("x", 0, 1)
        for epoch in trial.steps(2):
            seen.append((trial.repeat, epoch))
            if len(seen) == 4:
                raise SystemExit(1)
            trial.report(x + trial.repeat)

    with open_study() as study, pytest.raises(SystemExit):
        quiet(study, objective, "random", 1)
    with open_study() as study:
        quiet(study, objective, "random", 1)
        (record,) = study.trials
    assert seen == [(0, 1), (0, 2), (1, 1), (1, 2), (1, 1), (1, 2), (2, 1), (2, 2)]
    assert record.value == pytest.approx(record.params["x"] + 1.0)
    assert record.attempt == 2


def test_a_run_out_of_time_gives_the_trial_back_between_its_repeats(tmp_path: Path) -> None:
    study = honed.create_study(storage=tmp_path / "a.db", repeats=3, seed=3)

    def objective(trial: honed.Trial) -> float:
        if trial.repeat == 1 and trial.attempt == 1:
            study._flow.stop_requested = True  # as the timer of a time limit does
        return float(trial.repeat)

    trial = study.ask("random")
    from honed.repeats import repeated

    assert repeated(study.record, objective)(trial) is None
    given_back = study._flow.outcome(trial.number, None)
    assert given_back.state is State.WAITING
    study._flow.tell(trial.number, given_back)
    study._flow.stop_requested = False
    assert [r.values["value"] for r in study.trials[0].reports] == [0.0, 1.0]
    quiet(study, objective, "random", 1)
    assert study.best_trial.value == 1.0
    study.close()


WORKERS = """
import honed, numpy as np

def objective(trial):
    x = trial.suggest_float("x", -1, 1)
    for epoch in trial.steps(2):
        trial.report(x * x + np.random.default_rng(trial.seed).normal(0, 0.05))

study = honed.create_study(storage="a.db", seed=1, repeats=2)
study.optimize(objective, "random", 4, workers=2, progress="quiet")
print(*(f"{r.value!r}" for r in study.trials))
"""


def test_repeats_in_worker_processes_are_those_of_one_process(tmp_path: Path) -> None:
    def run(n_workers: int) -> str:
        folder = tmp_path / str(n_workers)
        folder.mkdir()
        (folder / "script.py").write_text(WORKERS.replace("workers=2", f"workers={n_workers}"))
        done = subprocess.run(
            [sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, timeout=120, check=True
        )
        return done.stdout

    assert run(1).split() == run(2).split()


# ------------------------------------------------------------------------------------- weak ones stop after the first


def repeated_history(values: list[list[float]], direction: Any = "minimize") -> History:
    study = StudyRecord(
        name="a",
        id=1,
        directions=(direction,),
        summary="mean",
        attributes={"repeats": {"n": 3, "summary": "best"}},
    )
    records = tuple(
        TrialRecord(number=n, state=State.COMPLETE, values=(float(np.mean(parts)),)) for n, parts in enumerate(values)
    )
    reports = tuple(Report(n, i, {"value": v}) for n, vs in enumerate(values) for i, v in enumerate(vs, start=1))
    return History.empty(study).extend(Delta(revision=1, study=study, trials=records, reports=reports))


def running(number: int, values: list[float]) -> TrialRecord:
    reports = tuple(Report(number, i, {"value": v}) for i, v in enumerate(values, start=1))
    return TrialRecord(number=number, state=State.RUNNING, reports=reports)


THREE = [[0.0, 0.1, 0.2], [1.0, 1.1, 1.2], [2.0, 2.1, 2.2]]  # pooled variance 0.01, the best mean 0.1


@pytest.mark.parametrize(
    ("values", "decision"),
    [
        ([0.34], Decision.STOP),  # 0.1 + 2 sqrt(0.01 + 0.01 / 3) = 0.331
        ([0.32], Decision.CONTINUE),
        ([0.32, 0.32], Decision.STOP),  # 0.1 + 2 sqrt(0.01 / 2 + 0.01 / 3) = 0.283
        ([-5.0], Decision.CONTINUE),
    ],
)
def test_a_trial_clearly_worse_than_the_best_gets_no_further_repeats(values: list[float], decision: Decision) -> None:
    assert ClearlyWorse().decide(repeated_history(THREE), running(3, values)) is decision
    mirrored = repeated_history([[-v for v in parts] for parts in THREE], "maximize")
    assert ClearlyWorse().decide(mirrored, running(3, [-v for v in values])) is decision


def test_nothing_is_stopped_before_three_trials_tell_the_noise() -> None:
    assert ClearlyWorse().decide(repeated_history(THREE[:2]), running(2, [100.0])) is Decision.CONTINUE
    ones = repeated_history([[0.0], [1.0], [2.0], [3.0]])
    assert ClearlyWorse().decide(ones, running(4, [100.0])) is Decision.CONTINUE


def test_weak_trials_stop_after_the_first_repeat_and_promising_ones_get_all() -> None:
    study = honed.create_study(storage="memory", seed=2, repeats=3)
    quiet(study, noisy, "random", 40)
    stopped = [record for record in study.trials if record.state is State.STOPPED]
    complete = [record for record in study.trials if record.state is State.COMPLETE]
    assert len(stopped) >= 15
    assert np.median([abs(record.params["x"]) for record in stopped]) > 0.5
    assert np.mean([abs(record.params["x"]) > 0.25 for record in stopped]) > 0.8
    assert all(len(record.reports) == 3 for record in complete)
    assert sum(len(record.reports) for record in study.trials) < 90
    assert study.best_trial.state is State.COMPLETE
    partial = spread(study.record, stopped[-1])
    assert partial is not None
    assert partial.is_partial


def test_a_deterministic_search_stops_nothing_between_repeats() -> None:
    study = honed.create_study(storage="memory", seed=2, repeats=3)
    quiet(study, noisy, "random", 16, deterministic=4)
    assert study.history.count(State.COMPLETE) == 16


# --------------------------------------------------------------------------------------------------- opening a study


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"summary": "median"}, ValueError, "summary='median' is unknown; use 'best', 'last' or 'mean'"),
        ({"repeats": 1}, ValueError, "repeats=1 must be at least 2"),
        ({"repeats": 2.5}, TypeError, "repeats=2.5 must be a whole number"),
        ({"repeats": True}, TypeError, "repeats=True must be a whole number"),
    ],
)
def test_unknown_summaries_and_numbers_of_repeats_are_refused(
    settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        honed.create_study(storage="memory", **settings)


def test_a_study_keeps_its_repeats(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    honed.create_study(storage=file, repeats=3).close()
    honed.create_study(storage=file, repeats=3).close()
    for settings in ({}, {"repeats": 4}, {"repeats": 3, "summary": "last"}, {"summary": "mean"}):
        with pytest.raises(StudyMismatch, match=r"exists with repeats=3 \(of summary=best\), and this call says "):
            honed.create_study(storage=file, **settings)


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.93117, 0.0042, "0.931 ± 0.004"),
        (0.93117, 0.0012, "0.9312 ± 0.0012"),
        (1234.5, 37.0, "1234 ± 37"),
        (0.5, math.nan, "0.5"),
        (0.25, 0.0, "0.25 ± 0"),
        (3e-20, 2e-21, "3e-20 ± 2e-21"),
    ],
)
def test_a_value_is_shown_as_far_as_its_error_allows(value: float, error: float, text: str) -> None:
    assert with_error(value, error) == text
