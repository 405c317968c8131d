"""``total_steps``: a budget of epochs for all trials together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import honed


def curve(trial: honed.Trial) -> None:
    x = trial.suggest_float("x", 0, 1)
    trial.track(rng=np.random.default_rng(0))
    for epoch in trial.steps(9):
        trial.report(x + 1 / epoch)


def optimize(study: honed.Study, **settings) -> None:
    study.optimize(curve, "random", progress="quiet", **settings)


def test_no_training_begins_when_the_steps_are_used_up() -> None:
    study = honed.create_study(storage="memory", seed=1)
    optimize(study, total_steps=40)
    assert study.history.n_steps == 45  # the fifth training was taken to its end
    assert len(study.trials) == 5
    optimize(study, total_steps=40)
    assert len(study.trials) == 5
    optimize(study, total_steps=54)
    assert len(study.trials) == 6


def test_paused_trainings_do_not_go_on_either() -> None:
    study = honed.create_study(storage="memory", seed=1)
    optimize(study, scheduler="asha", total_steps=60)
    assert 60 <= study.history.n_steps < 60 + 9
    assert sum(record.last_step or 0 for record in study.trials) == study.history.n_steps


def test_experiments_from_elsewhere_cost_nothing() -> None:
    study = honed.create_study(storage="memory", seed=1)
    study.add_trial({"x": 0.5}, reports={step: {"value": 1.0 / step} for step in range(1, 10)})
    assert study.history.n_steps == 0
    optimize(study, total_steps=9)
    assert len(study.trials) == 2


def test_what_a_parent_has_done_is_counted_once() -> None:
    study = honed.create_study(storage="memory", seed=1)
    optimize(study, scheduler=honed.PBT(params=["x"], population=4, interval=3), n_trials=12)
    assert any(record.parent is not None for record in study.trials)
    done = sum(len(record.reports) for record in study.trials)
    assert study.history.n_steps == done


def test_workers_share_the_budget(tmp_path: Path) -> None:
    study = honed.create_study("s", storage=tmp_path / "s.db", seed=1, durability="fast")
    optimize(study, total_steps=90, workers=3)
    assert 90 <= study.history.n_steps <= 90 + 2 * 9


@pytest.mark.parametrize("total_steps", [0, -3, 2.5, float("nan")])
def test_a_budget_is_a_positive_whole_number(total_steps) -> None:
    with pytest.raises(ValueError, match="total_steps"):
        optimize(honed.create_study(storage="memory"), total_steps=total_steps)
