"""Measured limits: what a trial tells, what a history shows of it, and which trial is the best."""

from __future__ import annotations

import math

import numpy as np
import pytest

import honed
from honed.errors import BadValue
from honed.records import excess


def study(**settings) -> honed.Study:
    return honed.create_study(storage="memory", seed=1, **settings)


def tell(s: honed.Study, value: float, **constraint: float) -> None:
    trial = s.ask("random")
    trial.suggest_float("x", 0, 1)
    if constraint:
        trial.constraint(max=20, **constraint)
    s.tell(trial, value)


@pytest.mark.parametrize(
    ("limit", "beyond"),
    [
        ({"value": 25.0, "max": 20.0}, 0.25),
        ({"value": 20.0, "max": 20.0}, 0.0),
        ({"value": 15.0, "max": 20.0}, -0.25),
        ({"value": 0.5, "max": 0.0}, 0.5),
        ({"value": 0.6, "min": 0.8}, 0.25),
        ({"value": -3.0, "min": -2.0, "max": 2.0}, 0.5),
        ({"value": None, "max": 20.0}, 1e6),
        ({"value": 1.7e308, "max": 1e-300}, 1e6),
        ({"value": -1.7e308, "max": 1.7e308}, -2.0),
    ],
)
def test_an_excess_is_relative_to_its_limit(limit: dict, beyond: float) -> None:
    assert excess(limit) == pytest.approx(beyond)


def test_the_best_trial_is_the_best_one_that_keeps_its_limits() -> None:
    s = study()
    tell(s, 0.1, latency_ms=30)
    assert s.best_trial.number == 0  # nobody keeps the limit yet: the least violation
    tell(s, 0.2, latency_ms=22)
    assert s.best_trial.number == 1
    tell(s, 0.9, latency_ms=19)
    tell(s, 0.8, latency_ms=20)
    tell(s, 0.05, latency_ms=21)
    assert s.best_trial.number == 3
    tell(s, 0.7)  # nothing measured, nothing violated
    assert s.best_trial.number == 5


def test_a_history_has_the_constraints_as_arrays() -> None:
    s = study()
    tell(s, 0.1, latency_ms=30)
    tell(s, 0.2)
    tell(s, 0.3, size_mb=10, latency_ms=10)
    columns = s.history.columns
    assert columns.constraints == ("latency_ms", "size_mb")
    np.testing.assert_allclose(columns.excesses, [[0.5, np.nan], [np.nan, np.nan], [-0.5, -0.5]])
    np.testing.assert_allclose(columns.violations, [0.5, 0.0, 0.0])
    assert [record.violation for record in s.trials] == [0.5, 0.0, 0.0]


def test_a_table_grows_with_its_constraints() -> None:
    s = study()
    for i in range(200):
        tell(s, 0.1, **({"late": 25} if i >= 100 else {}))
    columns = s.history.columns
    assert np.isnan(columns.excesses[:100, 0]).all()
    np.testing.assert_allclose(columns.excesses[100:, 0], 0.25)


def test_constraints_are_kept_with_the_study(tmp_path) -> None:
    path = tmp_path / "s.db"
    with honed.create_study("s", storage=path) as s:
        tell(s, 0.1, latency_ms=30)
        tell(s, 0.2, latency_ms=math.nan)
        tell(s, 0.3, latency_ms=math.inf)
    with honed.load_study("s", storage=path) as s:
        assert [record.violation for record in s.trials] == [0.5, 1e6, 1e6]


def test_measured_again_replaces() -> None:
    s = study()
    trial = s.ask("random")
    trial.constraint(latency_ms=30, max=20)
    trial.constraint(latency_ms=np.float32(10), max=20)
    s.tell(trial, 1.0)
    assert s.trials[0].violation == 0.0


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        ({"max": 20}, ValueError, "nothing was measured"),
        ({"latency_ms": 3.0}, ValueError, "max=... or min="),
        ({"latency_ms": 3.0, "max": math.inf}, ValueError, "finite limit"),
        ({"latency_ms": 3.0, "max": 1, "min": 2}, ValueError, "min=2 lies above max=1"),
        ({"latency_ms": "fast", "max": 1}, BadValue, "latency_ms"),
        ({"latency_ms": 3.0, "max": "low"}, BadValue, "max"),
    ],
)
def test_a_wrong_call_is_refused(call: dict, error: type[Exception], words: str) -> None:
    trial = study().ask("random")
    with pytest.raises(error, match=words):
        trial.constraint(**call)


def test_a_target_counts_only_within_the_limits() -> None:
    s = study()

    def objective(trial: honed.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        trial.constraint(load=1.0 if trial.number < 5 else 0.0, max=0.5)
        return x / 100

    s.optimize(objective, "random", n_trials=20, target=0.5, progress="quiet")
    assert len(s.trials) == 6
