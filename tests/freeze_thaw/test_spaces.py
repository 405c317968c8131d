"""Spaces that are not boxes of numbers: categories, conditions, integers, many dimensions; and what the user knows of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

import honed
from honed.domains import Categorical, Float, Int, Ordinal, Scalar
from honed.freeze_thaw import FreezeThaw
from honed.samplers.base import Stream
from honed.samplers.random import Random
from honed.schedulers.asha import ASHA
from honed.space import Space
from honed.testing.simulate import CurveTask, simulate

STEPS = np.arange(1, 28)
OPTIMIZERS = ["sgd", "adam", "lion", "rmsprop", "adagrad", "lbfgs", "adamw", "lamb", "nadam"]


def conditional() -> CurveTask:
    """An optimizer of nine, each with its own offset; momentum for one of them only, integers and ordinals beside."""
    space = Space(
        kind=Categorical(OPTIMIZERS),
        rate=Float(1e-5, 1.0, log=True),
        momentum=Float(0.0, 1.0).when(kind="sgd"),
        layers=Int(1, 8),
        batch=Ordinal([16, 32, 64, 128]),
    )

    def losses(params: Mapping[str, Scalar], rng: Stream) -> list[float]:
        kind = str(params["kind"])
        place = (np.log10(float(str(params["rate"]))) + 5.0) / 5.0
        level = 0.08 * OPTIMIZERS.index(kind) + (place - 0.4) ** 2 + 0.01 * (int(str(params["layers"])) - 3) ** 2
        level += 0.02 * abs(["16", "32", "64", "128"].index(str(params["batch"])) - 2)
        if kind == "sgd":
            level += (float(str(params["momentum"])) - 0.9) ** 2
        return [float(v) for v in level + 0.5 * STEPS ** -(0.3 + 0.5 * place)]

    return CurveTask(name="conditional", space=space, total_steps=27, losses=losses)


def wide() -> CurveTask:
    """Twenty-four numbers, six of which matter."""
    space = Space({f"x{i}": Float(0.0, 1.0) for i in range(24)})

    def losses(params: Mapping[str, Scalar], rng: Stream) -> list[float]:
        x = np.array([float(str(value)) for value in params.values()])
        level = float(((x[:6] - 0.3) ** 2).mean() / 0.49)
        return [float(v) for v in level + 0.5 * np.exp(-(0.2 + 0.5 * x[0]) * STEPS)]

    return CurveTask(name="wide", space=space, total_steps=27, losses=losses)


@pytest.mark.parametrize(
    ("task", "trainings", "n_seeds"), [(conditional(), 10, 6), (wide(), 5, 2)], ids=["conditional", "wide"]
)
def test_it_is_ahead_of_asynchronous_halving(task: CurveTask, trainings: int, n_seeds: int) -> None:
    budget, policy, seeds = trainings * 27, FreezeThaw(), range(10, 10 + n_seeds)
    ours = [simulate(task, policy, policy, seed=s, budget_steps=budget).best_after(budget) for s in seeds]
    theirs = [simulate(task, Random(), ASHA(), seed=s, budget_steps=budget).best_after(budget) for s in seeds]
    assert np.mean(ours) < 0.9 * np.mean(theirs)


# ------------------------------------------------------------------------------------------------ what the user knows


def trained(trial: honed.Trial) -> None:
    x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
    trial.track(state=np.random.default_rng(trial.number))
    for epoch in trial.steps(20):
        trial.report((x - 0.3) ** 2 + (x - y) ** 2 + 1 / epoch)


def test_what_is_fixed_is_fixed_and_the_rest_is_best_beside_it() -> None:
    study = honed.create_study(storage="memory", seed=1)
    study.optimize(trained, "freeze-thaw", n_trials=10, progress="quiet")
    paused = {record.number: dict(record.params) for record in study.trials}
    study.fix(x=0.9)
    study.optimize(trained, "freeze-thaw", n_trials=20, progress="quiet")
    new = [record.params for record in study.trials[10:]]
    assert {params["x"] for params in new} == {0.9}
    assert all(dict(study.trials[number].params) == params for number, params in paused.items())
    assert np.median([abs(params["y"] - 0.9) for params in new]) < 0.2


def test_what_the_user_wants_to_try_comes_first_and_past_studies_help() -> None:
    past = honed.create_study("past", storage="memory", seed=1)
    past.optimize(trained, "random", n_trials=12, progress="quiet")
    study = honed.create_study("now", storage="memory", seed=2, warm_start_from=past)
    study.try_first([{"x": 0.11, "y": 0.12}])
    study.optimize(trained, "freeze-thaw", n_trials=8, progress="quiet")
    assert study.trials[0].params == {"x": 0.11, "y": 0.12}
    assert [record for record in study.trials if str(record.note.get("from", "")).startswith("study past")]


def test_beliefs_have_a_share_of_the_new_trials() -> None:
    space = Space(x=Float(0.0, 1.0), y=Float(0.0, 1.0))
    study = honed.create_study(storage="memory", seed=3, space=space, prior={"x": honed.Normal(0.3, 0.02)})
    study.optimize(trained, "freeze-thaw", n_trials=12, progress="quiet")
    drawn = [record.params["x"] for record in study.trials if record.note.get("from") == "prior"]
    assert len(drawn) >= 3
    assert np.median(np.abs(np.array(drawn) - 0.3)) < 0.1
