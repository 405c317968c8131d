"""The best trials trained again: who is really the best, what to expect of it, and what the search has gained."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import honed
from honed.confirm.recommend import recommend
from honed.confirm.verdict import Confirmation, Confirmed
from honed.history import History
from honed.records import Delta, State, StudyRecord, TrialRecord
from honed.report import study_report, trials_table
from tests.study.test_study import quiet

QUIET: dict[str, Any] = {"progress": "quiet"}


def noise(trial: honed.Trial, sd: float) -> float:
    return float(np.random.default_rng(trial.seed).normal(0, sd))


def square(trial: honed.Trial) -> float:
    return trial.suggest_float("x", -1, 1) ** 2 + noise(trial, 0.05)


def nothing(trial: honed.Trial) -> float:
    """An objective on which no parameter has any effect."""
    trial.suggest_float("x", -1, 1)
    return 0.93 + noise(trial, 0.005)


def searched(objective: Any = square, n: int = 20, seed: int = 1, **settings: Any) -> honed.Study:
    study = honed.create_study("s", storage="memory", seed=seed, **settings)
    quiet(study, objective, "random", n)
    return study


def given_values(values: list[float], **settings: Any) -> honed.Study:
    """A study that knows results from elsewhere: x is the trial's number."""
    study = honed.create_study("s", storage="memory", seed=1, **settings)
    for i, value in enumerate(values):
        study.add_trial({"x": float(i)}, value)
    return study


def effect(values: dict[float, float], sd: float) -> Any:
    """An objective whose true value is that of x."""
    return lambda trial: values[trial.suggest_float("x", 0, 100)] + noise(trial, sd)


# --------------------------------------------------------------------------------------------------------- the runs


def test_the_best_trials_and_trial_0_are_trained_again_with_new_seeds_in_a_study_beside() -> None:
    study = searched()
    before = {trial.number: trial for trial in study.trials}
    seeds: list[tuple[float, int]] = []

    def objective(trial: honed.Trial) -> float:
        value = square(trial)
        seeds.append((trial["x"], trial.seed))
        return value

    told = study.confirm(objective, top=3, repeats=4, **QUIET)
    ranked = sorted(before.values(), key=lambda record: record.value or 0.0)
    assert {row.trial.number for row in told.rows} == {record.number for record in ranked[:3]} | {0}
    assert [row.n for row in told.rows] == [4, 4, 4, 4]
    assert len({seed for _, seed in seeds}) == len(seeds) == 16
    assert {x for x, _ in seeds} == {row.trial.params["x"] for row in told.rows}
    assert study.trials == list(before.values())
    assert [record.name for record in study.storage.studies()] == ["s", "s/confirm"]
    for row in told.rows:
        again = honed.load_study("s/confirm", storage=study.storage).trials
        mine = [r.value or 0.0 for r in again if r.attributes["confirms"]["trial"] == row.trial.number]
        assert row.mean == pytest.approx(np.mean(mine))
        assert row.standard_error == pytest.approx(np.std(mine, ddof=1) / 2)
        assert row.high - row.low == pytest.approx(2 * 3.1824463 * row.standard_error)


def test_a_storage_with_a_study_and_what_confirms_it_holds_one_study(tmp_path: Path) -> None:
    with honed.create_study("s", storage=tmp_path / "a.db", seed=1) as study:
        quiet(study, square, "random", 5)
        study.confirm(square, top=1, repeats=2, **QUIET)
    assert honed.load_study(storage=tmp_path / "a.db").name == "s"


def test_confirming_again_goes_on_and_runs_nothing_twice() -> None:
    study = searched()
    n = 0

    def objective(trial: honed.Trial) -> float:
        nonlocal n
        n += 1
        if n == 5:
            raise SystemExit(1)
        return square(trial)

    with pytest.raises(SystemExit):
        study.confirm(objective, repeats=3, **QUIET)
    told = study.confirm(objective, repeats=3, **QUIET)
    assert [row.n for row in told.rows] == [3, 3, 3, 3]
    assert n == 13  # the fifth training is run again
    assert study.confirm(objective, repeats=3, **QUIET) == told == study.confirmation
    assert n == 13
    more = study.confirm(objective, repeats=4, **QUIET)
    assert [row.n for row in more.rows] == [4, 4, 4, 4]
    assert n == 17


def test_trainings_that_fail_by_a_bug_are_run_again_next_time() -> None:
    study = searched()
    broken = True

    def objective(trial: honed.Trial) -> float:
        if broken and trial.number in (1, 6):
            raise RuntimeError("a bug")
        return square(trial)

    told = study.confirm(objective, repeats=3, on_error="continue", **QUIET)
    assert sorted(row.n for row in told.rows) == [2, 2, 3, 3]
    assert "1 of 3 failed" in str(told)
    broken = False
    told = study.confirm(objective, repeats=3, **QUIET)
    assert [row.n for row in told.rows] == [3, 3, 3, 3]


def test_a_confirmation_that_runs_out_of_time_goes_on_next_time() -> None:
    study = searched()
    with pytest.raises(LookupError, match="no training of study 's' with a new seed gave a value"):
        study.confirm(square, repeats=2, timeout=1e-9, **QUIET)
    assert study.confirmation is None
    assert [row.n for row in study.confirm(square, repeats=2, **QUIET).rows] == [2, 2, 2, 2]


def test_a_candidate_that_diverges_with_other_seeds_comes_last() -> None:
    study = given_values([0.5, 0.1, 0.3])

    def objective(trial: honed.Trial) -> float:
        x = trial.suggest_float("x", 0, 100)
        return math.nan if x == 1.0 and trial.number % 3 == 0 else x / 10

    told = study.confirm(objective, top=3, repeats=3, **QUIET)
    assert told.rows[-1].trial.number == 1
    assert told.rows[-1].n_failed == 1
    assert told.winner.trial.number == 0
    assert not told.rows[-1].is_tied


def test_the_conditions_and_objects_of_a_declared_space_are_those_of_the_search() -> None:
    space = honed.Space(act=honed.Categorical({"relu": abs, "none": float}), x=honed.Float(-1, 1))
    study = honed.create_study("s", storage="memory", seed=1, space=space)

    def objective(trial: honed.Trial) -> float:
        return float(trial["act"](trial["x"])) + noise(trial, 0.01)

    quiet(study, objective, "random", 10)
    told = study.confirm(objective, repeats=2, **QUIET)
    assert len(told.rows) >= 3


def test_folds_stay_folds_and_repeats_of_the_search_are_single_trainings_here() -> None:
    def folds(trial: honed.Trial) -> None:
        x = trial.suggest_float("x", -1, 1)
        for fold in trial.steps(3):
            trial.report(x * x + fold)

    study = searched(folds, 5, summary="mean")
    told = study.confirm(folds, top=1, repeats=2, **QUIET)
    assert told.winner.mean == pytest.approx(told.winner.trial.value)
    assert told.winner.standard_error == 0.0
    repeated = searched(square, 6, repeats=2)
    assert repeated.confirm(square, top=1, repeats=3, **QUIET).rows[0].n == 3
    assert honed.load_study("s/confirm", storage=repeated.storage).record.summary == "best"


WORKERS = """
import honed, numpy as np

def objective(trial):
    x = trial.suggest_float("x", -1, 1)
    return x * x + np.random.default_rng(trial.seed).normal(0, 0.05)

study = honed.create_study(storage="a.db", seed=1)
study.optimize(objective, "random", 6, progress="quiet")
print(study.confirm(objective, repeats=2, workers=2, progress="quiet"))
"""


def test_workers_share_the_trainings(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(WORKERS)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True
    )
    assert "8 trainings with new seeds" in done.stdout


# ---------------------------------------------------------------------------------------------------------- budgets


def test_further_trainings_go_where_they_tell_most() -> None:
    values = {0.0: 5.0, 1.0: 0.0, 2.0: 0.3, 3.0: 4.0}
    study = given_values([5.0, 0.0, 0.3, 4.0])
    told = study.confirm(effect(values, 0.5), top=3, repeats=3, budget=40, **QUIET)
    counts = {row.trial.number: row.n for row in told.rows}
    assert sum(counts.values()) == 40
    assert min(counts[1], counts[2]) > 2 * max(counts[0], counts[3])
    assert study.confirm(effect(values, 0.5), top=3, repeats=3, budget=40, **QUIET) == told


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"top": 2, "budget": 14},
            ValueError,
            r"budget=14 is too small: 3 trials \(1, 2, 0\) times repeats=5 need 15 trainings; allow 15 or more",
        ),
        ({"repeats": 1}, ValueError, "repeats=1 must be a whole number of at least 2, to tell the noise"),
        ({"top": 2.5}, ValueError, "top=2.5 must be at least 1, or a list of trial numbers"),
        ({"top": 0}, ValueError, "top=0 must be at least 1, or a list of trial numbers"),
        ({"top": [1, 3]}, ValueError, r"trial 3 in top=\[1, 3\] has no value; name finished trials"),
    ],
)
def test_what_cannot_be_confirmed_is_refused(arguments: dict[str, Any], error: Any, message: str) -> None:
    study = given_values([0.5, 0.1, 0.2])
    study.enqueue({"x": 3.0})
    with pytest.raises(error, match=message):
        study.confirm(square, **arguments, **QUIET)


def test_studies_without_one_best_trial_are_refused() -> None:
    with pytest.raises(LookupError, match="'s' has no complete trial yet"):
        honed.create_study("s", storage="memory").confirm(square, **QUIET)
    study = honed.create_study("s", storage="memory", directions=["minimize", "minimize"])
    with pytest.raises(ValueError, match="several objectives"):
        study.confirm(square, **QUIET)


# ------------------------------------------------------------------------------------------------------ the verdict


def test_the_true_best_is_the_winner_or_tied_at_the_stated_confidence() -> None:
    """60 searches whose reported best is a lucky one, each confirmed; and a sole winner is the true one."""
    held, alone, right, n = 0, 0, 0, 60
    values = {0.0: 1.0, 1.0: 0.2, 2.0: 0.0, 3.0: 0.05}
    for seed in range(n):
        study = honed.create_study("s", storage="memory", seed=seed)
        for x, value in ((0.0, 1.0), (1.0, -0.1), (2.0, 0.0), (3.0, 0.02)):
            study.add_trial({"x": x}, value)
        told = study.confirm(effect(values, 0.06), repeats=5, **QUIET)
        held += told.winner.trial.number == 2 or any(row.trial.number == 2 for row in told.ties)
        alone += not told.ties
        right += not told.ties and told.winner.trial.number == 2
    assert held >= 0.95 * n - 2 * math.sqrt(0.05 * 0.95 * n)
    assert alone - right <= 0.05 * n


def test_the_report_of_a_confirmation_tells_its_luck_its_ties_and_the_gain() -> None:
    values = {0.0: 0.5, 1.0: 0.9, 2.0: 0.9001, 3.0: 0.7}
    study = given_values([0.5, 0.9, 0.95, 0.7], direction="maximize")
    told = study.confirm(effect(values, 0.01), repeats=5, **QUIET)
    text = str(told)
    lines = text.splitlines()
    assert lines[0] == "Confirmation of 's': 20 trainings with new seeds"
    assert lines[1].split("  ")[0] == "rank"
    assert [line.split()[1] for line in lines[2:6]][2:] == ["3", "0"]
    assert lines[5].endswith("the default")
    best = next(row for row in told.rows if row.trial.number == 2)
    assert f"Reported 0.95 was the best of 4 trials. Confirmed 5 times: {best.mean:.3f} ± 0.00" in text
    assert "not to be told apart from it at 95 %" in text
    assert told.gain is not None
    assert told.gain.is_sure
    assert "Gain over the default: 0.40" in text
    assert told.gain.estimate - told.gain.chance < 0.4 < told.gain.estimate + told.gain.chance
    assert text.splitlines()[-1] in study.report()


def test_pure_noise_is_no_gain_over_the_default() -> None:
    """The best of 25 looks better; one search in 20 may be said to gain, and chance on top."""
    claimed = 0
    for seed in range(20):
        study = honed.create_study("s", storage="memory", seed=seed, defaults={"x": 0.0})
        quiet(study, nothing, "random", 25)
        assert "over the default" not in study.report()  # nothing tells the noise yet
        told = study.confirm(nothing, **QUIET)
        claimed += "o gain over the default" not in str(told)
        assert str(told).splitlines()[-1] == study.report().splitlines()[-1]
    assert claimed <= 3


def test_pure_noise_with_repeats_is_no_gain_in_the_report_of_the_search() -> None:
    claimed = 0
    for seed in range(20):
        study = honed.create_study("s", storage="memory", seed=seed, repeats=3, defaults={"x": 0.0})
        quiet(study, nothing, "random", 15)
        claimed += "o gain over the default" not in study.report()
    assert claimed <= 3
    line = r"Best 0\.9\d+, default 0\.9\d+, noise ±0\.00\d+: no gain over the default\."
    assert re.fullmatch(line, study.report().splitlines()[-1])


def test_a_true_gain_is_told_by_the_report_of_a_search_with_repeats() -> None:
    study = honed.create_study("s", storage="memory", seed=1, repeats=3, defaults={"x": 1.0})
    quiet(study, square, "random", 15)
    report = study.report()
    assert "Gain over the default: " in report
    assert "Best value with its standard error: " in report
    assert "Repeats trained: " in report
    assert " ± 0.0" in trials_table(study.history)
    assert " of 3)  stopped" in trials_table(study.history, 15)


def test_the_first_trial_of_a_search_without_defaults_is_called_so() -> None:
    study = searched(nothing, 10)
    told = study.confirm(nothing, **QUIET)
    assert " over the first trial" in str(told)
    assert "default" not in str(told)


def test_a_study_without_repeats_and_confirmation_reports_as_ever() -> None:
    study = searched()
    assert "±" not in study.report()
    assert study.report() == study_report(study.history)


# ------------------------------------------------------------------------------------------------------ recommending


def test_a_confirmed_study_recommends_the_best_confirmed_mean() -> None:
    values = {0.0: 1.0, 1.0: 0.5, 2.0: 0.1}
    study = given_values([1.0, 0.0, 0.1])
    study.confirm(effect(values, 0.01), repeats=3, **QUIET)
    found = study.recommend()
    assert study.best_trial.number == 1
    assert found.trial.number == 2
    assert found.mean == pytest.approx(0.1, abs=0.03)
    assert "The best of 3 reported values, 0 of trial 1, was luckier." in str(found)


def test_a_model_of_all_trials_recommends_better_than_the_luckiest_value() -> None:
    regrets = []
    for seed in range(12):
        study = honed.create_study("s", storage="memory", seed=seed, direction="maximize")
        quiet(study, lambda t: -(t.suggest_float("x", -1, 1) ** 2) + noise(t, 0.3), "random", 40)
        found = study.recommend()
        assert "posterior mean of a model of 40 trials" in found.reason
        regrets.append((found.trial.params["x"] ** 2, study.best_trial.params["x"] ** 2, abs(found.mean)))
    ours, luckiest, optimism = np.mean(regrets, axis=0)
    assert ours < 0.5 * luckiest
    assert optimism < 0.2  # the luckiest value is some 0.5 too good


def test_values_without_noise_are_taken_at_their_word() -> None:
    for seed in range(5):
        study = honed.create_study("s", storage="memory", seed=seed)
        quiet(study, lambda t: t.suggest_float("x", -1, 1) ** 2 + t.suggest_float("y", -1, 1) ** 2, "random", 30)
        assert study.recommend().trial == study.best_trial


def test_few_trials_recommend_the_best_value_and_say_that_its_noise_is_unknown() -> None:
    study = given_values([0.3, 0.1, 0.2])
    found = study.recommend()
    assert (found.trial.number, found.mean, found.reason) == (1, 0.1, "The best value.")
    assert math.isnan(found.standard_error)
    assert "Its noise is not known: repeat trials" in study.recommend("one_standard_error").reason


def test_one_standard_error_takes_the_simplest_that_is_no_worse() -> None:
    values = {0.0: 1.0, 1.0: 0.101, 2.0: 0.1, 3.0: 0.102}
    study = given_values([1.0, 0.101, 0.1, 0.102])
    study.confirm(effect(values, 0.02), repeats=5, **QUIET)
    told = study.confirmation
    assert told is not None
    limit = told.winner.mean + told.winner.standard_error
    near = [row.trial.params["x"] for row in told.rows if row.mean <= limit]
    found = study.recommend("one_standard_error", simplicity=lambda params: -params["x"])
    assert found.trial.params["x"] == max(near)
    assert found.reason.startswith(f"The simplest of {len(near)} within one standard error of the best mean of 20")


def test_the_shorter_training_is_the_simpler_one() -> None:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    study = StudyRecord(name="s", id=1)
    records = tuple(
        TrialRecord(
            number=n,
            state=State.COMPLETE,
            params={},
            values=(0.1 + n / 1e6,),
            started=begin,
            finished=begin + timedelta(seconds=100 - n),
        )
        for n in range(3)
    )
    history = History.empty(study).extend(Delta(revision=1, study=study, trials=records))
    row = {"low": 0.0, "high": 1.0, "n": 5, "n_failed": 0, "is_tied": True, "is_first": False}
    rows = tuple(Confirmed(trial=r, mean=r.value or 0.0, standard_error=0.01, **row) for r in records)  # type: ignore[arg-type]
    told = Confirmation(study="s", rows=rows, n_searched=3, best=rows[0], gain=None)
    assert recommend(history, told, "one_standard_error").trial.number == 2


def test_several_objectives_recommend_the_knee() -> None:
    study = honed.create_study("s", storage="memory", directions=["minimize", "minimize"])
    for values in ((0.0, 1.0), (0.2, 0.2), (1.0, 0.0), (0.9, 0.9)):
        study.add_trial({}, values)
    found = study.recommend()
    assert found.trial.values == (0.2, 0.2)
    assert "knee" in found.reason


def test_unknown_rules_and_empty_studies_are_refused() -> None:
    study = honed.create_study("s", storage="memory")
    with pytest.raises(LookupError, match="has no complete trial yet"):
        study.recommend()
    with pytest.raises(ValueError, match="rule='best' is unknown; use 'mean' or 'one_standard_error'"):
        study.recommend("best")  # type: ignore[arg-type]
