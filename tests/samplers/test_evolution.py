"""Differential evolution, ageing evolution and annealing: found again in the history, and better than random."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from honed.domains import Categorical, Float, Int
from honed.records import Cause, State, TrialRecord
from honed.samplers.annealing import Annealing
from honed.samplers.base import Sampler
from honed.samplers.cmaes import CMAES
from honed.samplers.evolution import DifferentialEvolution, RegularizedEvolution
from honed.samplers.random import Random
from honed.space import Space
from honed.testing.driver import Ask, Driver, Objective

CUBE = Space({f"x{i}": Float(0, 1) for i in range(8)})
CELL = Space(
    {f"op{i}": Categorical(["conv3", "conv5", "pool", "skip"]) for i in range(6)}
    | {"width": Int(8, 128, log=True), "depth": Int(1, 12)}
)
TREE = Space(
    optimizer=Categorical(["sgd", "adam"]),
    momentum=Float(0, 1).when(optimizer="sgd"),
    beta=Float(0, 1).when(optimizer="adam"),
    lr=Float(1e-5, 1, log=True),
)
SAMPLERS: list[Sampler] = [
    DifferentialEvolution(),
    DifferentialEvolution(strategy="rand"),
    RegularizedEvolution(),
    Annealing(),
]


def asked(ask: Ask, space: Space) -> dict[str, Any]:
    return {name: ask(name, domain) for name, domain in space.domains.items()}


def sphere(ask: Ask) -> float:
    return float(sum((x - 0.3) ** 2 for x in asked(ask, CUBE).values()))


def cell(ask: Ask) -> float:
    p = asked(ask, CELL)
    best = ["conv3", "skip", "conv5", "pool", "conv3", "skip"]
    return float(
        sum(p[f"op{i}"] != op for i, op in enumerate(best)) + abs(p["depth"] - 8) / 4 + abs(p["width"] - 64) / 64
    )


def tree(ask: Ask) -> float:
    loss = abs(np.log10(ask("lr", TREE["lr"])) + 3)
    if ask("optimizer", TREE["optimizer"]) == "sgd":
        return float(loss + 0.5 + abs(ask("momentum", TREE["momentum"]) - 0.9))
    return float(loss + abs(ask("beta", TREE["beta"]) - 0.2))


def run(sampler: Sampler, objective: Objective, space: Space | None, seed: int, n: int, workers: int = 1) -> Driver:
    driver, choose = Driver(sampler, objective, space=space, seed=seed), random.Random(seed)
    while len(driver.history) < n or driver.started:
        if len(driver.started) < workers and len(driver.history) < n:
            driver.start()
        else:
            driver.finish(choose.choice(sorted(driver.started)))
    return driver


def best_of(sampler: Sampler, objective: Objective, space: Space | None, workers: int = 1) -> float:
    bests = [run(sampler, objective, space, seed, 250, workers).history.best for seed in (0, 1)]
    return float(np.mean([best.value for best in bests if best is not None and best.value is not None]))


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
@pytest.mark.parametrize(("objective", "space"), [(sphere, CUBE), (cell, CELL), (tree, TREE)])
def test_suggestions_are_better_than_random_ones(sampler, objective, space):
    assert best_of(sampler, objective, space, workers=4) < 0.75 * best_of(Random(), objective, space)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_suggestions_are_the_same_after_reopening(sampler):
    for objective, space in ((sphere, CUBE), (cell, None), (tree, TREE), (tree, None)):
        steady, torn = (Driver(sampler, objective, space=space, seed=3) for _ in range(2))
        for n in range(20, 81, 20):
            steady.run(n)
            torn.run(n)
            torn.restart()
        assert steady.params == torn.params


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_trials_that_run_at_the_same_time_differ(sampler):
    driver = Driver(sampler, sphere, space=CUBE, seed=4)
    driver.run(50)
    records = [driver.start() for _ in range(20)]
    points = {tuple(record.params.values()) for record in records if isinstance(record, TrialRecord)}
    assert len(points) == 20


def test_a_population_does_not_depend_on_the_order_of_finishing():
    proposals = []
    for shuffle in (0, 1, 2):
        driver = Driver(DifferentialEvolution(population_size=8), sphere, space=CUBE, seed=5)
        numbers = [record.number for record in (driver.start() for _ in range(24)) if isinstance(record, TrialRecord)]
        for number in random.Random(shuffle).sample(numbers, 24):
            driver.finish(number)
        driver.start()
        proposals.append(driver.params[24])
    assert proposals[0] == proposals[1] == proposals[2]


def test_ageing_evolution_changes_one_active_parameter():
    driver = run(RegularizedEvolution(population_size=10, sample_size=3), tree, TREE, 6, 80)
    n_changed = []
    for record in list(driver.history)[10:]:
        parent = driver.history[record.note["mutated"]]
        both = record.params.keys() & parent.params.keys()
        changed = [name for name in both if record.params[name] != parent.params[name]]
        n_changed.append(len(changed))
        if "optimizer" not in changed:
            assert record.params.keys() == parent.params.keys()
    assert set(n_changed) == {1}


def test_ageing_evolution_forgets():
    driver = run(RegularizedEvolution(population_size=10, sample_size=5), sphere, CUBE, 7, 100)
    order = [record.number for record in driver.history.finished]
    for record in list(driver.history)[10:]:
        at = order.index(record.number)
        assert record.note["mutated"] in order[max(at - 10, 0) : at]


class Limited(Driver):
    """A driver whose trials measure by how much they are too heavy: 3.2 - sum(x), which few of them keep at random."""

    def finish(self, number: int, state: State | None = None, cause: Cause | None = None) -> TrialRecord:
        weight = 3.2 - sum(self.started[number].params.values()) / 2  # type: ignore[arg-type]
        self.change(replace(self.history[number], attributes={"constraint:weight": {"value": weight, "max": 1.0}}))
        return super().finish(number, state, cause)


@pytest.mark.parametrize("sampler", [*SAMPLERS, CMAES()], ids=str)
def test_a_measured_limit_counts_before_the_loss(sampler):
    """The loss pulls away from what is allowed: sum(x) of at least 4.4, where the sphere's centre has 2.4."""
    driver = Limited(sampler, sphere, space=CUBE, seed=10)
    driver.run(200)
    violations = driver.history.columns.violations
    assert (violations[120:] <= 0.0).mean() > 0.5
    free = Driver(sampler, sphere, space=CUBE, seed=10)
    free.run(200)
    assert np.mean([sum(p.values()) for p in driver.params[120:]]) > 1.0 + np.mean(
        [sum(p.values()) for p in free.params[120:]]
    )


def test_steps_become_smaller_as_it_cools():
    driver = run(Annealing(), sphere, CUBE, 8, 200)

    def distance(number: int) -> float:
        record = driver.history[number]
        near = driver.history[record.note["near"]]
        return float(np.linalg.norm([record.params[name] - near.params[name] for name in CUBE.domains]))

    early, late = np.mean([distance(n) for n in range(10, 40)]), np.mean([distance(n) for n in range(170, 200)])
    assert late < 0.25 * early


def test_whole_numbers_always_step_to_another_value():
    space = Space(n=Int(1, 6), m=Int(1, 3))
    driver = run(
        RegularizedEvolution(population_size=4, sample_size=2),
        lambda ask: float(ask("n", space["n"]) + ask("m", space["m"])),
        space, 9, 60,
    )  # fmt: skip
    for record in list(driver.history)[4:]:
        assert record.params != driver.history[record.note["mutated"]].params


@pytest.mark.parametrize(
    ("make", "settings"),
    [
        (DifferentialEvolution, {"population_size": 3}),
        (DifferentialEvolution, {"strategy": "best"}),
        (DifferentialEvolution, {"scale": 0.0}),
        (DifferentialEvolution, {"crossover": 1.5}),
        (RegularizedEvolution, {"population_size": 1}),
        (RegularizedEvolution, {"sample_size": 0}),
        (RegularizedEvolution, {"sample_size": 41}),
        (Annealing, {"width": 0.0}),
        (Annealing, {"half_life": -1}),
        (Annealing, {"tolerance": float("inf")}),
        (Annealing, {"n_startup": 0}),
    ],
)
def test_wrong_settings_are_refused(make, settings):
    with pytest.raises(ValueError, match=f"{make.__name__}: {next(iter(settings))}="):
        make(**settings)
