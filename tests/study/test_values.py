"""What an objective may return or report, and what becomes of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import honed
from honed.errors import BadValue
from honed.records import Cause, State
from tests.study.test_study import quiet


class Tensor:
    """What matters of a torch tensor here; the real one is tested with torch."""

    def __init__(self, *values: float) -> None:
        self.values, self.ndim, self.shape = values, 0 if len(values) == 1 else 1, (len(values),)

    def item(self) -> float:
        if len(self.values) > 1:
            raise RuntimeError("a Tensor with 2 elements cannot be converted to Scalar")
        return self.values[0]


@pytest.mark.parametrize(
    ("returned", "value"),
    [
        (1, 1.0),
        (True, 1.0),
        (0.25, 0.25),
        (5e-324, 5e-324),
        (10**300, 1e300),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3.0),
        (np.array(2.0), 2.0),
        (Tensor(0.125), 0.125),
        ({"value": 4.0, "other": 1.0}, 4.0),
        ((7.0,), 7.0),
    ],
)
def test_values(returned: Any, value: float) -> None:
    study = honed.create_study("a", storage="memory")
    quiet(study, lambda trial: returned, "random", 1)
    assert study.trials[0].value == value


@pytest.mark.parametrize("returned", [math.nan, math.inf, -math.inf, 10**400, np.float64("nan"), Tensor(math.nan)])
def test_no_finite_value_is_infeasible_and_never_a_number(returned: Any) -> None:
    study = honed.create_study("a", storage="memory", direction="maximize")
    quiet(study, lambda trial: returned if trial.number == 0 else 1.0, "random", 3)
    first = study.trials[0]
    assert (first.state, first.cause, first.values) == (State.FAILED, Cause.INFEASIBLE, None)
    assert first.message is not None
    assert first.message.startswith("not finite: value=")
    assert study.best_trial.value == 1.0


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (
            None,
            r"returned None and reported nothing; did you forget 'return val_loss'\? \(objective at test_values.py:",
        ),
        ({"val_loss": 1.0, "acc": 2.0}, r"a dict without 'value'; it has val_loss, acc"),
        ((1.0, 2.0), "returned 2 values; the study has 1 objective"),
        ("0.5", "got a str, '0.5'; a number is needed"),
        (np.array([1.0, 2.0]), r"a ndarray of shape \(2,\); reduce it"),
        (Tensor(1.0, 2.0), r"a Tensor of shape \(2,\)"),
        (object, "a type"),
    ],
)
def test_what_is_no_number_fails_with_the_fix(returned: Any, message: str) -> None:
    study = honed.create_study("a", storage="memory")
    with pytest.raises(BadValue, match=message):
        quiet(study, lambda trial: returned, "random", 1)
    (record,) = study.trials
    assert (record.state, record.cause) == (State.FAILED, Cause.ERROR)
    assert record.message is not None
    assert record.message.startswith("honed.errors.BadValue: ")


def curve(values: list[float], returned: float | None = None) -> Any:
    def objective(trial: honed.Trial) -> float | None:
        for step in trial.steps(len(values)):
            trial.report(values[step - 1], train_loss=step)
        return returned

    return objective


@pytest.mark.parametrize(
    ("summary", "values", "returned", "expected"),
    [
        ("best", [0.5, 0.3, 0.4, 0.95], None, 0.3),
        ("last", [0.5, 0.3, 0.4, 0.95], None, 0.95),
        ("best", [0.5, 0.3, 0.4, 0.95], 0.95, 0.3),
        ("best", [0.5, 0.3], 0.2, 0.2),
        ("last", [0.5, 0.3], 0.7, 0.7),
    ],
)
def test_the_value_of_a_curve_is_its_summary(
    summary: Any, values: list[float], returned: float | None, expected: float
) -> None:
    study = honed.create_study("a", storage="memory", summary=summary)
    quiet(study, curve(values, returned), "random", 1)
    assert study.trials[0].value == expected
    assert [report.step for report in study.trials[0].reports] == list(range(1, len(values) + 1))
    assert study.trials[0].reports[1].values == {"value": values[1], "train_loss": 2.0}


def test_a_training_that_diverges_is_stopped_and_infeasible() -> None:
    seen: list[int] = []

    def objective(trial: honed.Trial) -> None:
        for step in trial.steps(10):
            seen.append(step)
            trial.report(math.nan if step == 4 else 1.0 / step)

    study = honed.create_study("a", storage="memory")
    quiet(study, lambda trial: objective(trial) if trial.number == 1 else 1.0, "random", 2)
    record = study.trials[1]
    assert seen == [1, 2, 3, 4]
    assert (record.state, record.cause) == (State.FAILED, Cause.INFEASIBLE)
    assert record.message == "not finite: value=nan at step 4"
    assert math.isnan(record.reports[-1].values["value"])


def test_reports_by_name_out_of_order_and_repeated() -> None:
    def objective(trial: honed.Trial) -> None:
        trial.report(0.5, step=3)
        trial.report(step=1, val_accuracy=0.25, val_loss=2.0)
        trial.report(0.75, step=3)

    study = honed.create_study("a", storage="memory", metric="val_accuracy")
    quiet(study, objective, "random", 1)
    assert [(r.step, r.values["val_accuracy"]) for r in study.trials[0].reports] == [(1, 0.25), (3, 0.75)]
    assert study.best_trial.value == 0.75


@pytest.mark.parametrize(
    ("report", "message"),
    [
        (lambda t: t.report(val_acc=0.5), r"no 'val_accuracy'; got val_acc. Did you mean 'val_acc'\?"),
        (lambda t: t.report(0.5, step=-1), "step=-1 must not be negative"),
        (lambda t: t.report(0.5, step=1.5), "step=1.5 must be a whole number"),
        (lambda t: t.report({"loss": 1}), r"report\('val_accuracy'\) got a dict"),
        (lambda t: t.report(0.5, val_loss=None), r"report\('val_loss'\) got a NoneType"),
        (lambda t: list(t.steps(0)), "n=0 must be a whole number of at least 1"),
    ],
)
def test_wrong_reports_are_refused_at_once(report: Any, message: str) -> None:
    study = honed.create_study("a", storage="memory", metric="val_accuracy")
    with pytest.raises((ValueError, TypeError), match=message):
        quiet(study, report, "random", 1)
