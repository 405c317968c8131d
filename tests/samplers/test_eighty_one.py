"""A space of 81 configurations takes exactly 81 trials: with every sampler, one worker and eight."""

from __future__ import annotations

import random

import pytest

import honed
from honed.auto import SAMPLERS, named
from honed.domains import Categorical, Int, Ordinal
from honed.records import Exhausted, TrialRecord
from honed.samplers.combine import fit_for_use
from honed.space import Space
from honed.testing.driver import Driver

SPACE = Space(
    layers=Int(1, 3),
    width=Int(16, 64, factor=2),
    act=Categorical(["relu", "tanh", "gelu"]),
    batch=Ordinal([32, 64, 128]),
)


def objective(trial: honed.Trial) -> float:
    values = [trial.suggest(name, domain) for name, domain in SPACE.domains.items()]
    return float(values[0] * values[1] % 7) + ["relu", "tanh", "gelu"].index(values[2]) / values[3]


def tried(study: honed.Study) -> int:
    return len({tuple(record.params.values()) for record in study.trials})


@pytest.mark.parametrize("name", ["auto", *SAMPLERS])
def test_one_worker(name: str) -> None:
    study = honed.create_study(storage="memory", seed=3)
    study.optimize(objective, name, n_trials=100, progress="quiet")
    assert len(study.trials) == tried(study) == 81
    with pytest.raises(honed.errors.SpaceExhausted, match="All 81 configurations tried"):
        study.ask()


@pytest.mark.parametrize("name", list(SAMPLERS))
def test_eight_that_finish_in_any_order(name: str) -> None:
    driver, choose = Driver(fit_for_use(named(name)), space=SPACE, seed=5), random.Random(1)
    while True:
        begun = driver.start() if len(driver.started) < 8 else None
        if not isinstance(begun, TrialRecord):
            if not driver.started:
                break
            driver.finish(choose.choice(list(driver.started)))
    assert driver.start() == Exhausted("All 81 configurations tried")
    assert len({tuple(params.values()) for params in driver.params}) == len(driver.history) == 81


@pytest.mark.parametrize("name", ["auto", *(pytest.param(name, marks=pytest.mark.soak) for name in SAMPLERS)])
def test_eight_processes(name: str, tmp_path) -> None:
    study = honed.create_study("s", storage=tmp_path / "s.db", seed=3, durability="fast")
    study.optimize(objective, name, n_trials=100, workers=8, progress="quiet")
    assert len(study.trials) == tried(study) == 81
