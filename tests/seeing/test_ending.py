"""A run that ends by itself: when, what it says, that it goes on counting after a break, and in several workers."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import honed
from honed.events import RunEnded
from honed.explain import advice
from honed.explain.ending import CONVERGED, Converged, ending
from honed.freeze_thaw import FreezeThaw
from honed.records import Delta, StudyRecord
from honed.testing.simulate import power_law, simulate

REASON = "going on is hardly worth it: "


def flat(trial: honed.Trial) -> float:
    return trial.suggest_float("x", 0, 1) * 0.0 + 1.0


def noisy(trial: honed.Trial) -> float:
    """Nothing but noise, which the parameter does not explain."""
    x = trial.suggest_float("x", 0, 1)
    return 1.0 + 0.01 * math.sin(1e5 * (x + 0.1))


def improving(trial: honed.Trial) -> float:
    """A long valley that leads down to one corner of many dimensions: there is always something better."""
    xs = [trial.suggest_float(f"x{i}", 0, 1) for i in range(6)]
    return sum((x - 0.9) ** 2 for x in xs)


def curve(trial: honed.Trial) -> None:
    x = trial.suggest_float("x", 0, 1)
    trial.track(draws=np.random.default_rng(0))
    for step in trial.steps(9):
        trial.report((x - 0.4) ** 2 + 0.5 / step)


def ended(study: honed.Study, objective: Any, sampler: str = "random", **settings: Any) -> str:
    """Optimizes without output; why it ended."""
    events: list[Any] = []
    study.optimize(objective, sampler, progress="quiet", on_event=events.append, **settings)
    return next(event.reason for event in events if isinstance(event, RunEnded))


def made(folder: Path | None = None) -> honed.Study:
    return honed.create_study("s", storage="memory" if folder is None else folder / "honed.db", seed=1)


@pytest.mark.parametrize("objective", [flat, noisy])
def test_a_flat_objective_ends_soon_after_20_trials(objective: Any) -> None:
    study = made()
    reason = ended(study, objective, n_trials=200, until_converged=True)
    assert reason.startswith(REASON)
    assert "said three times in a row" in reason
    assert "next 10 trials" in reason
    assert 22 <= len(study.trials) <= 60


def test_an_improving_objective_goes_on() -> None:
    study = made()
    assert ended(study, improving, n_trials=40, until_converged=True) == "all 40 trials are done"


def test_without_being_asked_a_run_only_says_so() -> None:
    study = made()
    assert ended(study, flat, n_trials=30) == "all 30 trials are done"
    found = advice(study.history)
    assert found is not None
    assert found.may_stop
    assert CONVERGED not in study.attributes


def test_below_20_trials_nothing_ends() -> None:
    study = made()
    assert ended(study, flat, n_trials=19, until_converged=True) == "all 19 trials are done"
    assert CONVERGED not in study.attributes


def test_what_was_said_counts_after_a_break() -> None:
    study = made()
    assert ended(study, flat, n_trials=21, until_converged=True) == "all 21 trials are done"
    assert 0 < study.attributes[CONVERGED]["in_a_row"] < 3
    assert ended(study, flat, n_trials=200, until_converged=True).startswith(REASON)
    n = len(study.trials)
    assert n <= 28
    assert ended(study, flat, n_trials=200, until_converged=True).startswith(REASON)  # at once
    assert len(study.trials) == n
    assert ended(study, flat, n_trials=n + 1, until_converged=0.5) == f"all {n + 1} trials are done"  # counts anew


def test_a_tolerance_ends_what_noise_alone_would_not() -> None:
    study = made()
    assert ended(study, improving, n_trials=60, until_converged=10.0).startswith(REASON)
    assert len(study.trials) < 30


def test_curves_end_a_search_that_has_found_its_optimum(tmp_path: Path) -> None:
    study = made(tmp_path)
    reason = ended(study, curve, "freeze-thaw", n_trials=500, until_converged=0.02)
    assert reason.startswith(REASON)
    assert "next 9 epochs" in reason
    assert study.history.n_steps < 1500
    assert study.best_trial.value is not None
    assert study.best_trial.value < 0.5 / 9 + 0.02


def test_the_advice_is_asked_once_in_a_quarter_of_a_training(monkeypatch: pytest.MonkeyPatch) -> None:
    policy, asked = FreezeThaw(), list[int]()
    history = simulate(power_law(2), policy, policy, budget_steps=6 * 27).history
    monkeypatch.setattr("honed.explain.ending.advice", lambda history, tolerance: asked.append(history.n_steps))
    rule = Converged()
    attributes, reason = rule(history)
    assert reason is None
    assert asked == [history.n_steps]
    assert attributes[CONVERGED]["in_a_row"] == 0
    kept = replace(history.study, attributes=attributes)
    again = history.extend(Delta(revision=history.revision + 1, study=kept))
    assert rule(again) == ({}, None)
    assert len(asked) == 1


def test_workers_end_together(tmp_path: Path) -> None:
    study = made(tmp_path)
    reason = ended(study, flat, n_trials=500, workers=3, until_converged=True)
    assert reason.startswith(REASON)
    assert len(study.trials) < 100


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ("yes", TypeError, "until_converged='yes' must be True, or a difference"),
        (None, TypeError, "until_converged=None must be True"),
        (-0.1, ValueError, "until_converged=-0.1 must be a difference above 0"),
        (0, ValueError, "until_converged=0 must be a difference above 0"),
        (math.nan, ValueError, "until_converged=nan must be a difference above 0"),
        (math.inf, ValueError, "until_converged=inf must be a difference above 0"),
    ],
)
def test_bad_values_are_refused_by_name(value: Any, error: type[Exception], message: str) -> None:
    study = made()
    with pytest.raises(error, match=message):
        study.optimize(flat, "random", n_trials=3, until_converged=value, progress="quiet")
    assert study.trials == []


def test_several_objectives_are_refused() -> None:
    several = StudyRecord(name="s", directions=("minimize", "minimize"), metrics=("error", "latency"))
    with pytest.raises(ValueError, match=r"until_converged=True is for one objective, the study has 2: error, latency"):
        ending(True, several)
    assert ending(False, several) is None


def test_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "flat.py").write_text("def objective(trial):\n    return 0 * trial.suggest_float('x', 0, 1)\n")
    command = [sys.executable, "-m", "honed", "run", "flat.py", "-n", "200", "--sampler", "random", "--json"]
    env = {key: value for key, value in os.environ.items() if not key.startswith("HONED_")}

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *more], cwd=tmp_path, capture_output=True, text=True, timeout=60, env=env, check=False
        )

    done = run("--until-converged", "--tolerance", "0.1")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["reason"].startswith(REASON)
    refused = run("--tolerance", "0.1")
    assert refused.returncode == 2
    assert "--tolerance is for --until-converged" in refused.stderr
