"""Search spaces as users meet them: names, changes between runs, forbidden regions, exhaustion, hints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import honed
from honed.errors import NameReused, NoFeasiblePoint
from tests.study.test_study import notices, quiet, reason


def test_a_loop_that_asks_for_one_name_twice_fails_in_the_first_trial() -> None:
    def objective(trial: honed.Trial) -> float:
        return sum(trial.suggest_int("units", 16, 512) for _ in range(2))

    study = honed.create_study("a", storage="memory")
    with pytest.raises(
        NameReused, match=r"'units' was asked as Int\(16..512\) at test_spaces.py:\d+ and again as"
    ) as caught:
        quiet(study, objective, n_trials=5)
    assert "units_0" in str(caught.value)
    assert 'trial["units"]' in str(caught.value)


def test_a_value_can_be_read_again() -> None:
    trial = honed.FixedTrial({"lr": 0.1, "act": "relu"})
    trial.suggest_float("lr", 1e-3, 1, log=True)
    assert trial["lr"] == 0.1
    assert trial.suggest_categorical("act", {"relu": max, "gelu": min}) is max
    assert trial["act"] is max
    assert trial.params == {"lr": 0.1, "act": "relu"}
    with pytest.raises(KeyError, match=r"Did you mean 'lr'"):
        trial["lrr"]


def test_fixed_trial_names_what_is_missing_or_outside() -> None:
    with pytest.raises(ValueError, match=r"no value for 'momentun'.*Did you mean 'momentum'"):
        honed.FixedTrial({"momentum": 0.5}).suggest_float("momentun", 0, 1)
    with pytest.raises(ValueError, match=r"'x': 3 is not in Float\(0..1\)"):
        honed.FixedTrial({"x": 3}).suggest_float("x", 0, 1)


def test_scopes_prefix_names() -> None:
    trial = honed.FixedTrial({"encoder.lr": 0.5, "lr": 0.25})
    with trial.scope("encoder"):
        assert trial.suggest_float("lr", 0, 1) == 0.5
    assert trial.suggest_float("lr", 0, 1) == 0.25


def test_objects_come_back_and_labels_are_stored(tmp_path: Path) -> None:
    seen: list[Any] = []

    def objective(trial: honed.Trial) -> float:
        seen.append(trial.suggest_categorical("act", {"relu": max, "gelu": min}))
        seen.append(trial.suggest_categorical("kernel", [(3, 3), (5, 5), None]))
        return 0.0

    for n in (5, 10):
        study = honed.create_study("a", storage=tmp_path / "h.db", seed=0)
        quiet(study, objective, "random", n, on_error="raise")
        study.close()
    assert all(value in (max, min, (3, 3), (5, 5), None) for value in seen)
    assert {t.params["act"] for t in honed.load_study("a", storage=tmp_path / "h.db").trials} <= {"relu", "gelu"}


def test_a_domain_may_change_between_runs(tmp_path: Path) -> None:
    def first(trial: honed.Trial) -> float:
        trial.suggest_categorical("act", ["relu", "tanh"])
        return trial.suggest_float("lr", 1e-3, 1e-2, log=True)

    def second(trial: honed.Trial) -> float:
        trial.suggest_categorical("act", ["relu", "tanh", "gelu"])
        trial.suggest_float("dropout", 0, 0.5)
        return trial.suggest_float("lr", 1e-3, 1e-1, log=True)

    study = honed.create_study("a", storage=tmp_path / "h.db", seed=0)
    quiet(study, first, "random", 10)
    study.close()
    study = honed.create_study("a", storage=tmp_path / "h.db", seed=0)
    quiet(study, second, "random", 60)
    assert len(study.trials) == 60
    new = study.trials[10:]
    assert {t.params["act"] for t in new} == {"relu", "tanh", "gelu"}
    assert max(t.params["lr"] for t in new) > 1e-2
    columns = study.history.columns
    lr = list(columns.space.domains).index("lr")
    assert columns.params[:10, lr].max() <= 0.5 + 1e-12  # the old range is the lower half of the new one
    assert str(study.trials[0].domains["lr"]) == "Float(0.001..0.01, log)"


def test_a_declared_space_may_change_and_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    honed.create_study("a", storage=tmp_path / "h.db", space=honed.Space(lr=honed.Float(1e-3, 1e-2, log=True)))
    wider = honed.Space(lr=honed.Float(1e-3, 1e-1, log=True), layers=honed.Int(1, 3))
    study = honed.create_study("a", storage=tmp_path / "h.db", space=wider)
    assert "Space changed: new layers Int(1..3); lr Float(0.001..0.01, log) -> Float(0.001..0.1, log)" in (
        capfd.readouterr().err
    )
    quiet(study, lambda trial: trial["lr"], "random", 5)
    assert all(set(t.params) == {"lr", "layers"} for t in study.trials)


def test_ranges_may_depend_on_other_values() -> None:
    def objective(trial: honed.Trial) -> float:
        low = trial.suggest_float("low", 0, 1)
        high = trial.suggest_float("high", low, 2)
        assert low <= high <= 2
        return high - low

    study = honed.create_study("a", storage="memory", seed=0)
    quiet(study, objective, "random", 60, on_error="raise")


@pytest.mark.parametrize("sampler", ["random", "sobol", "halton", "grid", "auto"])
def test_forbidden_configurations_are_never_tried(sampler: str) -> None:
    space = honed.Space(a=honed.Int(0, 9), b=honed.Int(0, 9)).forbid(lambda p: p["a"] + p["b"] > 9)
    study = honed.create_study("a", storage="memory", space=space, seed=0)
    events = quiet(study, lambda trial: trial["a"] * trial["b"], sampler, 100)
    assert len(study.trials) == 55
    assert all(t.params["a"] + t.params["b"] <= 9 for t in study.trials)
    assert "All 55 configurations tried; stopping (45 trials unused)" in reason(events)


def test_a_rule_holds_in_define_by_run_too() -> None:
    rule = honed.Space().forbid(lambda p: p["a"] + p["b"] > 10)

    def objective(trial: honed.Trial) -> float:
        a = trial.suggest_float("a", 0, 10)
        b = trial.suggest_float("b", 0, 10)
        assert a + b <= 10
        return a * b

    study = honed.create_study("a", storage="memory", space=rule, seed=0)
    quiet(study, objective, "random", 100, on_error="raise")
    assert len(study.trials) == 100


def test_a_space_without_any_allowed_point_is_refused() -> None:
    space = honed.Space(a=honed.Float(0, 1)).forbid(lambda p: p["a"] >= 0)
    with pytest.raises(NoFeasiblePoint, match="10,000"):
        honed.create_study("a", storage="memory", space=space)


def conditional(trial: honed.Trial) -> float:
    if trial.suggest_categorical("model", ["linear", "tree"]) == "linear":
        return trial.suggest_int("degree", 1, 3)
    depth = trial.suggest_int("depth", 1, 2)
    return sum(trial.suggest_ordinal(f"split_{i}", [2, 4, 8]) for i in range(depth))


@pytest.mark.parametrize("sampler", ["grid", "random", "sobol", "auto"])
def test_a_discovered_conditional_space_is_exhausted_exactly(sampler: str) -> None:
    study = honed.create_study("a", storage="memory", seed=1)
    events = quiet(study, conditional, sampler, 100)
    assert len(study.trials) == 3 + 3 + 9
    assert len({tuple(t.params.items()) for t in study.trials}) == 15
    assert "All 15 configurations tried; stopping (85 trials unused)" in reason(events)


def test_a_grid_over_the_slides_learning_rates() -> None:
    study = honed.create_study("a", storage="memory")
    quiet(study, lambda trial: trial.suggest_float("alpha", 1e-4, 1, log=True), honed.Grid(points=5))
    assert sorted(t.params["alpha"] for t in study.trials) == [1e-4, 1e-3, 1e-2, 1e-1, 1.0]


def test_a_grid_on_a_continuous_axis_needs_points() -> None:
    study = honed.create_study("a", storage="memory")
    with pytest.raises(ValueError, match=r"'x'.*points"):
        quiet(study, lambda trial: trial.suggest_float("x", 0, 1), "grid", 5)


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda t: t.suggest_float("lr", 1e-5, 0.1), "log=True"),
        (lambda t: t.suggest_categorical("batch", [32, 64, 128]), "suggest_ordinal"),
        (lambda t: t.suggest_int("epochs", 1, 50), "trial.steps"),
        (lambda t: t.suggest_float("lr", 1e-5, 0.1, log=True), ""),
        (lambda t: t.suggest_float("dropout", 0, 0.5), ""),
        (lambda t: t.suggest_categorical("act", ["relu", "tanh"]), ""),
    ],
)
def test_hints_about_domains_come_once_and_only_where_planted(ask: Any, said: str) -> None:
    study = honed.create_study("a", storage="memory")
    events = quiet(study, lambda trial: (ask(trial), 1.0)[1], "random", 3)
    text = "\n".join(line for line in notices(events).splitlines() if not line.startswith("sampler"))
    assert (text.count(said) == 1) if said else (text == "")
