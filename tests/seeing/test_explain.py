"""Explanations of trials and studies, as people read them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import honed
from honed.domains import Float
from honed.errors import TrialNotFound
from honed.explain import advice, curve_data, explain_study, explain_trial, is_converged
from honed.history import History
from honed.records import Cause, Delta, State, StudyRecord
from honed.report import study_report
from honed.space import Space
from tests.freeze_thaw.built import Curve, falling, history_of
from tests.seeing.made import a_history, complete, failed, in_state

PLACES = [round(float(x), 3) for x in np.random.default_rng(3).random(24)]


def curves(*more: Curve) -> History:
    return history_of(*(Curve(x, falling((x - 0.4) ** 2, 5)) for x in PLACES), *more)


def plain(values: list[float], *, up_to: float = 1.0) -> History:
    """Finished trials at even places of a space that ends at 1."""
    space = Space(x=Float(0.0, 1.0))
    xs = np.linspace(0.0, up_to, len(values))
    trials = [complete(n, v, x=float(x)) for n, (x, v) in enumerate(zip(xs, values, strict=True))]
    study = StudyRecord(name="plain", space=space.to_json())
    records = tuple(replace(trial, domains=space.domains) for trial in trials)
    return History.empty(study, space).extend(Delta(revision=1, trials=records))


# ------------------------------------------------------------------------------------------------------------ trials


def test_a_paused_trial_says_who_promises_more_and_how_it_will_end() -> None:
    history = curves()
    told = [explain_trial(history, number) for number in range(len(PLACES))]
    assert sorted(each.place or 0 for each in told) == list(range(1, len(PLACES) + 1))
    second = next(each for each in told if each.place == 2)
    assert second.reason.startswith("Paused at epoch 5: one other promises more; it is predicted to end at 0.")
    assert second.final is not None
    assert second.final.low < second.final.median < second.final.high
    assert second.chance is not None
    assert 0.0 <= second.chance <= 1.0
    first = next(each for each in told if each.place == 1)
    assert "no other paused trial promises more" in first.reason
    leader = next(each for each in told if each.rank == 1)
    assert "has the best value seen" in leader.reason
    assert all(len(line) <= 100 for each in told for line in str(each).splitlines())


def test_each_state_has_its_sentence() -> None:
    flat = [0.9] * 5
    history = curves(
        Curve(0.41, falling(0.0, 27), State.COMPLETE),
        Curve(0.95, flat, State.STOPPED),
        Curve(0.5, falling(0.1, 4), State.RUNNING, until=9),
        Curve(0.7, [], State.WAITING),
        Curve(0.8, [0.5], State.FAILED, cause=Cause.OOM),
    )
    done, stopped, running, waiting, broken = (explain_trial(history, len(PLACES) + n) for n in range(5))
    assert done.reason == f"Complete after epoch 27. It has the best value of {len(PLACES) + 4} trials, 0.03571."
    assert done.final is None
    assert stopped.reason.startswith("Stopped after epoch 5: 25 of 25 others had a better value at that epoch.")
    assert stopped.final is not None
    assert running.reason.startswith("It is trained to epoch 9, epoch 4 done; it is predicted to end at ")
    assert waiting.reason == "It waits for a worker."
    assert waiting.final is not None  # from its params alone
    assert broken.reason == "Failed after epoch 1: it ran out of memory."
    assert (broken.failure, broken.final) == ("it ran out of memory", None)


def test_a_failure_is_named_with_its_line_and_a_broken_limit_with_its_excess() -> None:
    message = 'Traceback:\n  File "/home/me/model.py", line 88, in f\n    g()\nValueError: shape mismatch'
    history = a_history(complete(0, 0.5), failed(1, message=message))
    assert (
        explain_trial(history, 1).failure == "the objective raised an error (ValueError: shape mismatch, model.py:88)"
    )
    limited = replace(complete(0, 0.5), attributes={"constraint:ms": {"value": 25.0, "max": 20.0}})
    told = explain_trial(a_history(limited), 0)
    assert told.broken == {"ms": 0.25}
    assert "ms is 25 % beyond it" in str(told)


def test_larger_is_better_where_the_study_maximizes() -> None:
    history = a_history(complete(0, 0.5), complete(1, 0.9), complete(2, 0.7), directions=("maximize",))
    assert [explain_trial(history, n).rank for n in range(3)] == [3, 1, 2]
    assert explain_trial(history, 2).reason == "Complete. Its value is 0.7; the best is 0.9, of trial 1."


def test_a_study_of_several_objectives_has_no_ranks() -> None:
    history = a_history(complete(0, 0.5, 1.0), directions=("minimize",) * 2, metrics=("a", "b"))
    assert explain_trial(history, 0).rank is None
    assert explain_study(history).best is None
    assert advice(history) is None


def test_an_unknown_trial_is_not_found() -> None:
    with pytest.raises(TrialNotFound, match="no trial 99; it has 24"):
        explain_trial(curves(), 99)
    with pytest.raises(TrialNotFound, match="no trial 99"):
        curve_data(curves(), [1, 99])


# ------------------------------------------------------------------------------------------------------------ studies


def test_a_study_says_what_is_promising_and_whether_to_go_on() -> None:
    told = explain_study(curves(Curve(0.9, falling(0.25, 27), State.COMPLETE)))
    assert len(told.promising) == 3
    medians = [each.final.median for each in told.promising]
    assert medians == sorted(medians)
    assert told.advice is not None
    text = str(told)
    assert "Promising  trial " in text
    assert "Advice     Going on: " in text
    assert "24 paused" in text
    assert all(len(line) <= 100 for line in text.splitlines())


def test_an_empty_study_is_explained() -> None:
    told = explain_study(a_history())
    assert (told.best, told.promising, told.advice, told.steps) == (None, (), None, 0)
    assert "none yet" in str(told)


# ------------------------------------------------------------------------------------------------------------ advice


def test_advice_is_silent_below_twenty_trials() -> None:
    values = ((np.linspace(0, 1, 19) - 0.31) ** 2).tolist()
    assert advice(plain(values)) is None
    assert "Going on" not in study_report(plain(values))
    assert advice(history_of(*(Curve(x, falling(x, 5)) for x in PLACES[:19]))) is None


def test_a_flat_objective_may_stop_and_one_that_still_falls_goes_on() -> None:
    rng = np.random.default_rng(0)
    flat = plain((1.0 + 0.01 * rng.standard_normal(40)).tolist())
    told = advice(flat)
    assert told is not None
    assert told.may_stop
    assert is_converged(flat)
    assert str(told).endswith("You may stop.")
    falling_on = plain(np.cos(np.linspace(0.0, 1.5, 21)).tolist(), up_to=0.5)
    going = advice(falling_on)
    assert going is not None
    assert not going.may_stop
    assert not is_converged(falling_on)
    assert study_report(falling_on).splitlines()[-1] == str(going)


def test_equal_values_may_stop() -> None:
    told = advice(plain([0.5] * 25))
    assert told is not None
    assert (told.chance, told.may_stop) == (0.0, True)


def test_advice_speaks_of_epochs_where_there_are_curves_and_of_trials_elsewhere() -> None:
    told = advice(curves(Curve(0.9, falling(0.25, 27), State.COMPLETE)))
    assert told is not None
    assert told.ahead == "27 epochs"
    assert advice(curves()) is None  # no curve has been to its end
    other = advice(plain(np.linspace(0, 1, 30).tolist()))
    assert other is not None
    assert other.ahead == "10 trials"


def test_advice_is_the_same_when_it_is_asked_again() -> None:
    done = Curve(0.9, falling(0.25, 27), State.COMPLETE)
    assert advice(curves(done)) == advice(curves(done)) is not None


# ------------------------------------------------------------------------------------------------------------ curves


def test_curve_data_continues_each_open_curve_to_its_end() -> None:
    history = curves(Curve(0.41, falling(0.0, 27), State.COMPLETE))
    data = curve_data(history)
    assert len(data.trials) == len(PLACES) + 1
    open_one, done = data.trials[0], data.trials[-1]
    assert open_one.steps.tolist() == [1, 2, 3, 4, 5]
    assert open_one.values.tolist() == pytest.approx(falling((PLACES[0] - 0.4) ** 2, 5))
    assert (open_one.future[0], open_one.future[-1]) == (6, 27)
    assert (open_one.low < open_one.median).all()
    assert (open_one.median < open_one.high).all()
    final = explain_trial(history, 0).final
    assert final is not None
    assert open_one.median[-1] == pytest.approx(final.median)
    assert not len(done.future)
    assert data.best == pytest.approx(min(falling(0.0, 27)))
    assert [curve.number for curve in curve_data(history, [history[3], 1]).trials] == [1, 3]
    assert not any(len(curve.future) for curve in curve_data(history, predicted=False).trials)


def test_curves_of_a_study_without_reports_are_none() -> None:
    data = curve_data(a_history(complete(0, 0.5), in_state(1, State.PAUSED)))
    assert (data.trials, data.best) == ((), None)


# ------------------------------------------------------------------------------------------------------- a real study


def objective(trial: honed.Trial) -> float | None:
    x = trial.suggest_float("x", 0.0, 1.0)
    for step in trial.steps(12):
        trial.report((x - 0.3) ** 2 + 1.0 / (step + 2))
    return None


def test_a_study_explains_itself_here_and_on_the_command_line(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from honed.cli.app import app

    where = str(tmp_path / "study.db")
    study = honed.create_study("demo", storage=where, seed=0)
    study.optimize(objective, n_trials=6, sampler="random", scheduler="full")
    trial = study.explain(study.best_trial)
    assert trial == study.explain(study.best_trial.number)
    assert "It has the best value of 6 trials" in trial.reason
    assert study.explain().best == pytest.approx(study.best_trial.value)
    assert len(study.curve_data().trials) == 6
    run = CliRunner().invoke(app, ["explain", "demo", "--storage", where])
    assert run.exit_code == 0, run.output
    assert run.output == f"{study.explain()}\n"
    shown = json.loads(CliRunner().invoke(app, ["explain", "demo", "2", "--storage", where, "--json"]).output)
    assert (shown["number"], shown["state"], shown["steps"]) == (2, "complete", 12)
    page = json.loads(CliRunner().invoke(app, ["explain", "--storage", where, "--json"]).output)
    assert page["counts"]["complete"] == 6
    assert CliRunner().invoke(app, ["explain", "demo", "99", "--storage", where]).exit_code == 3
    figure = pytest.importorskip("matplotlib") and study.plot_curves()
    assert len(figure.axes[0].lines) == 7
