"""Gaussian processes for fronts: they dominate what random search does not, within limits, from any history."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
import pytest

from honed.algorithms.hypervolume import hypervolume
from honed.domains import Bool, Categorical, Float, Int
from honed.history import History
from honed.records import Cause, Delta, Direction, State, StudyRecord, Suggestion, TrialRecord
from honed.samplers.base import Sampler, Stream
from honed.samplers.gp import GP
from honed.samplers.pareto_gp import ParetoGP
from honed.samplers.random import Random
from honed.space import Space

QUICK = GP(n_candidates=256)
MIXED = Space(x=Float(0, 1), n=Int(1, 9), act=Categorical(list("abcd")), deep=Bool(), k=Int(1, 4).when(deep=True))
CUBE = Space({f"x{i}": Float(0, 1) for i in range(4)})


def zdt2(p) -> tuple[float, ...]:
    """Zitzler, Deb, Thiele 2000."""
    x = list(p.values())
    g = 1.0 + 9.0 * sum(x[1:]) / (len(x) - 1)
    return x[0], g * (1.0 - (x[0] / g) ** 2)


def three(p) -> tuple[float, ...]:
    """Distances to three corners."""
    x = np.array(list(p.values()))
    return tuple(float(((x - np.eye(4)[i]) ** 2).sum()) for i in range(3))


def mixed(p) -> tuple[float, ...]:
    return p["x"] + p["n"] / 9 + p.get("k", 0), "abcd".index(p["act"]) - p["x"] - p.get("k", 0)


class Study:
    """A study whose trials may measure one constraint, ``late``: how far beyond its limit."""

    def __init__(self, sampler: Sampler, space: Space, m: int, seed: int = 0, declared: bool = True) -> None:
        minimize: Direction = "minimize"
        record = StudyRecord(name="s", seed=seed, directions=(minimize,) * m, metrics=tuple("abcd"[:m]))
        self.sampler, self.space, self.seed, self.n_changes = sampler, space, seed, 0
        self.empty = self.history = History.empty(record, space if declared else None)
        self.last: dict[int, TrialRecord] = {}

    def start(self) -> TrialRecord:
        number, rng = len(self.history), Stream(self.seed, len(self.history))
        answer = self.sampler.suggest(self.history, self.history.space, rng, {})
        assert isinstance(answer, Suggestion)
        params = dict(answer.params)
        for name, domain in self.space.domains.items():  # what the study does not know yet is asked for one by one
            if name not in params and self.space.active({**params, name: domain.decode(0.5)}).get(name) is not None:
                alone = self.sampler.suggest(self.history, Space({name: domain}), rng, params)
                assert isinstance(alone, Suggestion)
                params |= alone.params
        domains = {name: self.space[name] for name in params}
        return self.change(TrialRecord(number=number, state=State.RUNNING, params=params, domains=domains, attempt=1))

    def change(self, record: TrialRecord) -> TrialRecord:
        self.n_changes += 1
        self.last.pop(record.number, None)
        self.last[record.number] = record
        self.history = self.history.extend(Delta(revision=self.n_changes, trials=(record,)))
        return record

    def finish(self, record: TrialRecord, values: tuple[float, ...], late: float | None = None) -> None:
        measured = {} if late is None else {"constraint:late": {"value": late, "max": 0.0}}
        self.change(replace(record, state=State.COMPLETE, values=values, attributes=measured))

    def run(self, n: int, losses, late=lambda p: None) -> Study:
        while len(self.history) < n:
            record = self.start()
            self.finish(record, losses(record.params), late(record.params))
        return self

    def reopen(self) -> None:
        self.history = self.empty.extend(Delta(revision=self.n_changes, trials=tuple(self.last.values())))

    @property
    def params(self) -> list[dict]:
        return [dict(record.params) for record in self.history]


def volume(study: Study, reference: tuple[float, ...]) -> float:
    columns = study.history.columns
    return hypervolume(columns.losses[columns.violations <= 0.0], np.array(reference))


# ------------------------------------------------------------------------------------------------------- does it learn


def test_thirty_trials_dominate_most_of_zdt2_where_three_hundred_random_ones_dominate_little():
    cube = Space({f"x{i}": Float(0, 1) for i in range(6)})
    best = 1.1 * 1.1 - 2 / 3
    found = volume(Study(QUICK, cube, 2).run(30, zdt2), (1.1, 1.1)) / best
    drawn = volume(Study(Random(), cube, 2).run(300, zdt2), (1.1, 1.1)) / best
    assert found > 0.6
    assert drawn < 0.3


def test_thirty_trials_dominate_more_than_a_hundred_random_ones_with_three_objectives():
    reference = (2.0, 2.0, 2.0)
    found = volume(Study(QUICK, CUBE, 3).run(30, three), reference)
    assert found > 1.1 * volume(Study(Random(), CUBE, 3).run(100, three), reference)


def test_noise_does_not_keep_it_from_the_front():
    noise = random.Random(0)

    def noisy(p) -> tuple[float, ...]:
        a, b = zdt2(p)
        return a + noise.gauss(0, 0.1), b + noise.gauss(0, 0.1)

    study = Study(QUICK, CUBE, 2).run(35, noisy)
    truly = np.array([zdt2(p) for p in study.params])
    at_random = np.array([zdt2(p) for p in Study(Random(), CUBE, 2).run(100, zdt2).params])
    reference = np.array([1.1, 2.0])
    assert hypervolume(truly, reference) > hypervolume(at_random, reference)


def test_the_front_within_a_measured_limit_is_found():
    def late(p) -> float:
        return 0.5 - p["x0"] - p["x3"]

    reference = (1.1, 5.0)
    found = Study(QUICK, CUBE, 2).run(30, zdt2, late)
    drawn = Study(Random(), CUBE, 2).run(100, zdt2, late)
    assert volume(found, reference) > volume(drawn, reference)
    assert (found.history.columns.violations[15:] <= 0.0).mean() > 0.5


def test_while_no_trial_keeps_the_limit_trials_come_nearer_to_it():
    def late(p) -> float:
        return 3.6 - sum(p.values())  # one in 2,000 keeps it

    study = Study(QUICK, CUBE, 2).run(30, zdt2, late)
    excess = study.history.columns.excesses[:, 0]
    assert excess[:8].min() > 0.0
    assert excess.min() <= 0.0


def test_failures_are_avoided():
    study = Study(GP(n_candidates=256, random_every=0), CUBE, 2)
    while len(study.history) < 45:
        record = study.start()
        if record.params["x1"] < 0.5:  # where the front would be
            study.change(replace(record, state=State.FAILED, cause=Cause.INFEASIBLE))
        else:
            study.finish(record, zdt2(record.params))
    assert sum(record.state is State.FAILED for record in list(study.history)[-15:]) <= 4


# --------------------------------------------------------------------------------------------- a function of the history


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "discovered"])
def test_suggestions_are_the_same_after_reopening(declared):
    steady, torn = (Study(GP(n_startup=5, n_candidates=128), MIXED, 2, 3, declared) for _ in range(2))
    for n in range(6, 19, 6):
        steady.run(n, mixed, lambda p: p["x"] - 0.8)
        torn.run(n, mixed, lambda p: p["x"] - 0.8)
        torn.reopen()
    assert steady.params == torn.params


def test_trials_under_way_are_believed_in():
    study = Study(QUICK, CUBE, 2).run(20, zdt2)
    points = np.array([list(study.start().params.values()) for _ in range(6)])
    apart = np.abs(points[:, None] - points[None]).max(axis=2) + np.eye(6)
    assert apart.min() > 1e-3


@pytest.mark.parametrize("m", [2, 3])
def test_strange_losses_are_survived(m):
    study, choose = Study(GP(n_startup=4, n_candidates=64), MIXED, m), random.Random(0)
    values = [0.0, 1.0, -1.0, math.nan, math.inf, -math.inf, 1e308, -1e308, 5e-324]
    study.run(25, lambda p: tuple(choose.choice(values) for _ in range(m)), lambda p: choose.choice([-1.0, 1e300, 0.0]))
    assert all(MIXED[name].contains(value) for params in study.params for name, value in params.items())


def test_an_objective_that_never_changes_is_survived():
    study = Study(QUICK, CUBE, 2).run(15, lambda p: (zdt2(p)[1], 1.0))
    assert volume(study, (9.0, 2.0)) > 0.0


def test_one_objective_and_four_are_refused():
    for m in (1, 4):
        with pytest.raises(ValueError, match=f"the study has {m} objective.*use GP"):
            Study(ParetoGP(), CUBE, m).start()


@pytest.mark.parametrize("settings", [{"n_startup": -1}, {"n_candidates": 0}, {"random_every": -1}])
def test_wrong_settings_are_refused(settings):
    with pytest.raises(ValueError, match=f"ParetoGP: {next(iter(settings))}="):
        ParetoGP(**settings)
