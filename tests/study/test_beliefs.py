"""What a user says beforehand: defaults as trial 0, beliefs, fixed values, experiments made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import honed
from honed.beliefs import LogNormal, Normal
from honed.records import State
from honed.samplers.annealing import Annealing
from honed.samplers.base import Sampler
from honed.samplers.cmaes import CMAES
from honed.samplers.evolution import DifferentialEvolution, RegularizedEvolution
from honed.samplers.gp import GP
from honed.samplers.nsga import NSGA2, NSGA3
from honed.samplers.tpe import TPE

SPACE = honed.Space(
    lr=honed.Float(1e-5, 1, log=True),
    units=honed.Int(16, 512),
    act=honed.Categorical({"relu": max, "tanh": min}),
    momentum=honed.Float(0, 0.9).when(act="tanh"),
)


def quiet(study: honed.Study, objective: Any, *args: Any, **kwargs: Any) -> None:
    study.optimize(objective, *args, progress="quiet", report=False, **kwargs)


def trained(trial: honed.Trial) -> float:
    return float(abs(trial["lr"] - 1e-3) + trial["units"] / 512)


def discovered(trial: honed.Trial) -> float:
    lr = trial.suggest_float("lr", 1e-5, 1, log=True)
    act = trial.suggest_categorical("act", ["relu", "tanh"])
    return lr + trial.suggest_int("units", 16, 512) / 512 + (0.1 if act == "tanh" else 0.0)


# ----------------------------------------------------------------------------------------------------------- defaults


def test_defaults_are_trial_0_and_the_rest_of_it_is_the_middle_of_each_domain():
    study = honed.create_study("a", storage="memory", space=SPACE, seed=1, defaults={"lr": 1e-3})
    quiet(study, trained, "random", 5)
    assert study.trials[0].params == {"lr": 1e-3, "units": 264, "act": "relu"}
    assert study.trials[0].note["default"] is True
    assert len(study.trials) == 5


def test_in_a_discovered_space_the_middle_is_taken_when_a_parameter_is_asked_for():
    study = honed.create_study("a", storage="memory", seed=1, defaults={"lr": 1e-3})
    quiet(study, discovered, "random", 4)
    assert study.trials[0].params == {"lr": 1e-3, "act": "relu", "units": 264}
    assert study.trials[1].params["units"] != 264


def test_deterministic_runs_have_the_default_first_too():
    study = honed.create_study("a", storage="memory", seed=1, defaults={"lr": 1e-3})
    quiet(study, discovered, "random", 4, deterministic=2)
    assert study.trials[0].params == {"lr": 1e-3, "act": "relu", "units": 264}


def test_many_workers_and_runs_try_the_default_once(tmp_path: Path):
    def opened() -> honed.Study:
        return honed.create_study(
            "a", storage=tmp_path / "a.db", space=SPACE, durability="fast", defaults={"units": 64, "act": min}
        )

    studies = [opened() for _ in range(8)]
    trials = [study.ask("random") for study in studies]
    for study, trial in zip(studies, trials, strict=True):
        study.tell(trial, 1.0)
    again = opened()
    assert [trial.number for trial in trials] == list(range(8))
    assert [record.note.get("default") for record in again.trials] == [True, *[None] * 7]
    assert again.trials[0].params["units"] == 64
    assert again.trials[0].params["momentum"] == pytest.approx(0.45)
    for study in (*studies, again):
        study.close()


def test_other_defaults_for_a_study_with_trials_are_told_and_change_nothing(tmp_path: Path, capfd):
    where = tmp_path / "a.db"
    study = honed.create_study("a", storage=where, space=SPACE, defaults={"lr": 1e-3})
    quiet(study, trained, "random", 2)
    other = honed.create_study("a", storage=where, space=SPACE, defaults={"lr": 1e-2})
    assert "keeps its first trial; defaults= is for new studies" in capfd.readouterr().err
    quiet(other, trained, "random", 4)
    assert [record.params["lr"] for record in other.trials].count(1e-2) == 0
    study.close()
    other.close()


@pytest.mark.parametrize(
    ("defaults", "message"),
    [
        ({"lr": 5.0}, r"defaults: lr: 5.0 is not in Float\(1e-05..1, log\); give a value of its domain"),
        ({"lrr": 0.1}, "defaults: 'lrr' is not in the space. Did you mean 'lr'"),
    ],
)
def test_a_default_outside_the_space_is_refused(defaults: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        honed.create_study("a", storage="memory", space=SPACE, defaults=defaults)


def test_a_default_that_a_rule_forbids_is_refused():
    space = SPACE.forbid(lambda p: p["units"] > 200)
    with pytest.raises(ValueError, match="forbidden by a rule of the space; name more parameters, or others"):
        honed.create_study("a", storage="memory", space=space, defaults={"lr": 0.1})
    honed.create_study("b", storage="memory", space=space, defaults={"lr": 0.1, "units": 100})


# ------------------------------------------------------------------------------------------------------------- beliefs


def test_beliefs_are_kept_with_the_study_and_draw_its_trials(tmp_path: Path):
    where = tmp_path / "a.db"
    believed: dict[str, Any] = {"lr": LogNormal(1e-3, 1.1), "act": {min: 1}}
    first = honed.create_study("a", storage=where, space=SPACE, seed=1, prior=believed)
    first.close()
    study = honed.load_study("a", storage=where)  # another process, which knows nothing of the call above
    quiet(study, trained, "random", 12)
    drawn = [record for record in study.trials if record.note.get("from") == "prior"]
    assert len(drawn) >= 4
    assert (
        sum(5e-4 < record.params["lr"] < 2e-3 and record.params["act"] == "tanh" for record in drawn) >= len(drawn) - 1
    )
    study.close()


def test_changed_beliefs_are_taken_over_and_told(tmp_path: Path, capfd):
    where = tmp_path / "a.db"
    honed.create_study("a", storage=where, prior={"lr": Normal(0.1, 0.01)}).close()
    honed.create_study("a", storage=where).close()
    with honed.create_study("a", storage=where, prior={"lr": Normal(0.2, 0.01)}) as study:
        assert study.attributes["prior"] == {"lr": {"type": "normal", "mean": 0.2, "sd": 0.01}}
    assert "has another prior from now on" in capfd.readouterr().err


# --------------------------------------------------------------------------------------------------------------- fixed


@pytest.mark.parametrize("sampler", ["random", "sobol", "tpe", "cmaes", "auto"])
def test_what_is_fixed_never_moves_and_can_be_freed_again(sampler: str):
    study = honed.create_study("a", storage="memory", space=SPACE, seed=1)
    quiet(study, trained, sampler, 6)
    study.fix(lr=0.01, act=min)
    quiet(study, trained, sampler, 18)
    assert all(
        r.params["lr"] == 0.01 and r.params["act"] == "tanh" and "momentum" in r.params for r in study.trials[6:]
    )
    assert len({(record.params["units"], record.params["momentum"]) for record in study.trials[6:]}) == 12
    study.fix()
    quiet(study, trained, sampler, 24)
    assert len({record.params["lr"] for record in study.trials[18:]}) > 1


def test_a_grid_of_what_is_not_fixed_ends():
    space = honed.Space(a=honed.Int(0, 8), b=honed.Int(0, 2))
    study = honed.create_study("a", storage="memory", space=space, seed=1)
    study.fix(b=1)
    quiet(study, lambda trial: float(trial["a"]), "grid", 100)
    assert sorted(record.params["a"] for record in study.trials) == list(range(9))


def test_worker_processes_know_what_is_fixed(tmp_path: Path):
    study = honed.create_study("a", storage=tmp_path / "a.db", seed=1, defaults={"lr": 1e-3})
    study.fix(units=100)
    quiet(study, discovered, "random", 6, workers=2)
    assert [record.params["units"] for record in study.trials] == [100] * 6
    assert study.trials[0].params["lr"] == 1e-3
    study.close()


def test_a_fixed_value_outside_its_domain_is_refused():
    study = honed.create_study("a", storage="memory", space=SPACE)
    with pytest.raises(ValueError, match=r"fix: lr: 9 is not in Float\(1e-05..1, log\); give a value of its domain"):
        study.fix(lr=9)
    with pytest.raises(ValueError, match=r"fix: 'unit' is not in the space\. Did you mean 'units'"):
        study.fix(unit=32)
    assert "fixed" not in study.attributes


# ------------------------------------------------------------------------------------------- experiments made by hand

MANUAL = [(5, 1000, 0.5), (3, 1000, 0.4), (6, 1000, 0.55), (5, 2000, 0.56)]
HAND = honed.Space(
    layers=honed.Int(1, 10), neurons=honed.Int(100, 3000, step=100), optimizer=honed.Categorical(["Adam", "SGD"])
)
LEARNERS: list[Sampler] = [
    TPE(n_startup=4), GP(n_startup=4), CMAES(), DifferentialEvolution(), RegularizedEvolution(), Annealing(), NSGA2(), NSGA3()
]  # fmt: skip


@pytest.mark.parametrize("sampler", [*LEARNERS, "auto", "random", "grid"], ids=lambda s: str(s).partition("(")[0])
def test_the_next_proposal_differs_from_manual_experiments(sampler: Any):
    study = honed.create_study("a", storage="memory", metric="accuracy", space=HAND, seed=2)
    for layers, neurons, value in MANUAL:
        study.add_trial({"layers": layers, "neurons": neurons, "optimizer": "Adam"}, value)
    assert study.best_trial.params == {"layers": 5, "neurons": 2000, "optimizer": "Adam"}
    trial = study.ask(sampler)
    assert trial.number == 4
    assert dict(trial.params) not in [dict(record.params) for record in study.trials[:4]]


@pytest.mark.parametrize("sampler", LEARNERS[:2], ids=["TPE", "GP"])
def test_models_learn_from_manual_experiments(sampler: Sampler):
    """Many of them, on a slope: what is proposed next lies at its better end."""
    proposed = []
    for seed in range(6):
        study = honed.create_study("a", storage="memory", space=honed.Space(x=honed.Float(0, 1)), seed=seed)
        for i in range(20):
            study.add_trial({"x": i / 20}, float(i))
        proposed.append(study.ask(sampler)["x"])
    assert sorted(proposed)[2] < 0.3


def test_eight_workers_try_each_queued_point_once(tmp_path: Path):
    points = [{"layers": layers, "neurons": neurons, "optimizer": "Adam"} for layers, neurons, _ in MANUAL]
    studies = [honed.create_study("a", storage=tmp_path / "a.db", durability="fast", space=HAND) for _ in range(8)]
    numbers = [study.try_first(points) for study in studies]
    assert numbers == [[0, 1, 2, 3]] * 8
    for study, trial in [(study, study.ask("random")) for study in studies]:
        study.tell(trial, 0.5)
    tried = [record.params for record in studies[0].trials]
    assert [tried.count(point) for point in points] == [1] * 4
    assert studies[0].history.count(State.COMPLETE) == 8
    for study in studies:
        study.close()
