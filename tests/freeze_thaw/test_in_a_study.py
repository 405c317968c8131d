"""Freeze-thaw by its name in a real study: trainings are paused, go on where they were, and end within the budget."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import honed
from honed.records import State

STEPS = 20


def curve(trial: honed.Trial) -> None:
    x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
    state = np.random.default_rng(trial.number)
    trial.track(state=state)
    for epoch in trial.steps(STEPS):
        state.random()
        trial.report((x - 0.3) ** 2 + (y - 0.6) ** 2 + 1 / epoch)


def test_trainings_are_paused_and_go_on(tmp_path: Path) -> None:
    study = honed.create_study("s", storage=tmp_path / "s.db", seed=2, durability="fast")
    study.optimize(curve, "freeze-thaw", total_steps=10 * STEPS, progress="quiet")
    trials = study.trials
    assert len(trials) > 10  # more than full trainings would be
    assert any(record.state is State.COMPLETE for record in trials)
    assert any(record.state is State.PAUSED for record in trials)
    assert max(record.attempt for record in trials) > 1
    for record in trials:  # no epoch twice, none left out
        assert [report.step for report in record.reports] == list(range(1, len(record.reports) + 1))
    assert sum(len(record.reports) for record in trials) == study.history.n_steps <= 11 * STEPS
    assert study.best_trial.value is not None
    assert study.best_trial.value < 0.1 + 1 / STEPS


def test_the_object_alone_decides_both_and_so_does_a_number_of_trials(tmp_path: Path) -> None:
    kinds: tuple[dict[str, Any], ...] = (
        {"sampler": honed.FreezeThaw()},
        {"scheduler": honed.FreezeThaw()},
        {"sampler": "freeze-thaw"},
    )
    found = []
    for i, settings in enumerate(kinds):
        study = honed.create_study(f"s{i}", storage=tmp_path / "s.db", seed=4, durability="fast")
        study.optimize(curve, n_trials=12, progress="quiet", **settings)
        found.append([(record.params, len(record.reports)) for record in study.trials])
        assert len(found[-1]) == 12
    assert found[0] == found[1] == found[2]


def test_workers_share_it(tmp_path: Path) -> None:
    study = honed.create_study("s", storage=tmp_path / "s.db", seed=2, durability="fast")
    study.optimize(curve, "freeze-thaw", total_steps=6 * STEPS, workers=2, progress="quiet")
    assert any(record.state is State.COMPLETE for record in study.trials)
    assert study.history.n_steps <= 8 * STEPS


def test_its_name_is_the_samplers() -> None:
    study = honed.create_study(storage="memory")
    with pytest.raises(ValueError, match="write sampler='freeze-thaw' alone"):
        study.optimize(curve, n_trials=2, scheduler="freeze-thaw")


def test_folds_are_no_learning_curve() -> None:
    study = honed.create_study(storage="memory", summary="mean")
    with pytest.raises(ValueError, match="folds or repeats"):
        study.optimize(curve, "freeze-thaw", n_trials=2)
