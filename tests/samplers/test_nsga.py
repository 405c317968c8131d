"""NSGA-II and NSGA-III: fronts that dominate more than random search's, from any history and order."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import numpy as np
import pytest

from honed.algorithms.hypervolume import hypervolume
from honed.domains import Bool, Categorical, Float, Int
from honed.history import History
from honed.records import EMPTY, Delta, Direction, State, StudyRecord, Suggestion, TrialRecord
from honed.samplers.base import Sampler, Stream
from honed.samplers.nsga import NSGA2, NSGA3
from honed.samplers.random import Random
from honed.space import Space

Losses = Callable[[np.ndarray], tuple[float, ...]]
MIXED = Space(x=Float(0, 1), n=Int(1, 9), act=Categorical(list("abcd")), deep=Bool(), k=Int(1, 4).when(deep=True))


def zdt1(x: np.ndarray) -> tuple[float, ...]:
    """Zitzler, Deb, Thiele 2000."""
    g = 1 + 9 * x[1:].mean()
    return float(x[0]), float(g * (1 - math.sqrt(x[0] / g)))


def dtlz2(m: int) -> Losses:
    """Deb, Thiele, Laumanns, Zitzler 2002."""

    def losses(x: np.ndarray) -> tuple[float, ...]:
        g, values = ((x[m - 1 :] - 0.5) ** 2).sum(), []
        for i in range(m):
            value = (1 + g) * np.prod(np.cos(x[: m - 1 - i] * np.pi / 2))
            values.append(float(value * (np.sin(x[m - 1 - i] * np.pi / 2) if i else 1.0)))
        return tuple(values)

    return losses


def cube(d: int) -> Space:
    return Space({f"x{i}": Float(0, 1) for i in range(d)})


class Study:
    """A study with several objectives, any number of trials in flight, and any order of finishing."""

    def __init__(self, sampler: Sampler, space: Space, m: int, seed: int = 0) -> None:
        self.sampler, self.space, self.seed, self.n_changes = sampler, space, seed, 0
        minimize: Direction = "minimize"
        record = StudyRecord(name="s", seed=seed, directions=(minimize,) * m, metrics=tuple("abcdefgh"[:m]))
        self.empty = self.history = History.empty(record, space)
        self.last: dict[int, TrialRecord] = {}

    def start(self) -> TrialRecord:
        answer = self.sampler.suggest(self.history, self.space, Stream(self.seed, len(self.history)), {})
        assert isinstance(answer, Suggestion)
        domains = {name: self.space[name] for name in answer.params}
        return self.change(len(self.history), State.RUNNING, answer.params, domains, answer.note)

    def change(self, number, state, params, domains, note, values=None, attributes=EMPTY) -> TrialRecord:
        record = TrialRecord(
            number=number, state=state, params=params, domains=domains, note=note, values=values, attributes=attributes,
            attempt=1,
        )  # fmt: skip
        self.n_changes += 1
        self.last.pop(number, None)
        self.last[number] = record
        self.history = self.history.extend(Delta(revision=self.n_changes, trials=(record,)))
        return record

    def finish(self, record: TrialRecord, values: tuple[float, ...], late: float | None = None) -> None:
        kept = {} if late is None else {"constraint:late": {"value": late, "max": 0.0}}
        self.change(record.number, State.COMPLETE, record.params, record.domains, record.note, values, kept)

    def run(self, n: int, losses: Callable[[TrialRecord], tuple[float, ...]]) -> None:
        while len(self.history) < n:
            record = self.start()
            self.finish(record, losses(record))

    def reopen(self) -> None:
        self.history = self.empty.extend(Delta(revision=self.n_changes, trials=tuple(self.last.values())))

    @property
    def params(self) -> list[dict]:
        return [dict(record.params) for record in self.history]


def point(record: TrialRecord) -> np.ndarray:
    return np.array(list(record.params.values()))


def mixed(record: TrialRecord) -> tuple[float, float]:
    p = record.params
    return float(p["x"] + p["n"] / 9 + p.get("k", 0)), float("abcd".index(p["act"]) - p["x"] - p.get("k", 0))


@pytest.mark.parametrize(
    ("sampler", "losses", "d", "reference", "gain"),
    [
        (NSGA2(), zdt1, 10, (1.1, 8.0), 0.5),
        (NSGA2(), dtlz2(3), 8, (1.5, 1.5, 1.5), 0.1),
        (NSGA3(), dtlz2(4), 9, (1.5, 1.5, 1.5, 1.5), 0.1),
    ],
    ids=["zdt1", "dtlz2 with 3", "dtlz2 with 4"],
)
def test_two_hundred_trials_dominate_more_than_random_ones(sampler, losses, d, reference, gain):
    def volume(sampler: Sampler, seed: int) -> float:
        study = Study(sampler, cube(d), len(reference), seed)
        study.run(200, lambda record: losses(point(record)))
        return hypervolume(study.history.columns.losses, np.array(reference))

    found, at_random = ([volume(s, seed) for seed in range(2)] for s in (sampler, Random()))
    assert np.mean(found) > np.mean(at_random) + gain


@pytest.mark.parametrize("sampler", [NSGA2(population_size=10), NSGA3(population_size=10)], ids=["2", "3"])
def test_suggestions_are_the_same_after_reopening(sampler):
    steady, torn = Study(sampler, MIXED, 2), Study(sampler, MIXED, 2)
    for n in range(7, 71, 7):
        steady.run(n, mixed)
        torn.run(n, mixed)
        torn.reopen()
    assert steady.params == torn.params
    assert steady.history[69].note[f"nsga{2 if isinstance(sampler, NSGA2) else 3}"]["generation"] == 6


@pytest.mark.parametrize("sampler", [NSGA2(population_size=8), NSGA3(population_size=8)], ids=["2", "3"])
def test_the_order_of_finishing_within_a_generation_does_not_matter(sampler):
    studies = [Study(sampler, MIXED, 2, seed=1) for _ in range(3)]
    for shuffle, study in enumerate(studies):
        choose = random.Random(shuffle)
        for _ in range(5):
            records = [study.start() for _ in range(8)]
            for record in choose.sample(records, 8):
                study.finish(record, mixed(record))
    assert studies[0].params == studies[1].params == studies[2].params


@pytest.mark.parametrize("sampler", [NSGA2(population_size=8), NSGA3(population_size=8)], ids=["2", "3"])
def test_trials_that_run_at_the_same_time_differ(sampler):
    study = Study(sampler, cube(4), 2)
    study.run(30, lambda record: zdt1(point(record)))
    assert len({tuple(study.start().params.values()) for _ in range(20)}) == 20


def test_children_differ_from_their_parents_also_where_these_are_equal():
    study = Study(NSGA2(population_size=4, mutation=0.0), MIXED, 2)
    for _ in range(20):
        record = study.start()
        same = {"x": 0.5, "n": 4, "act": "b", "deep": False}
        domains = {name: MIXED[name] for name in same}
        study.change(record.number, State.COMPLETE, same, domains, record.note, (1.0, 1.0))
    assert study.start().params != {"x": 0.5, "n": 4, "act": "b", "deep": False}


@pytest.mark.parametrize("sampler", [NSGA2(population_size=6), NSGA3(population_size=6)], ids=["2", "3"])
@pytest.mark.parametrize("m", [1, 2, 5])
def test_strange_losses_are_survived(sampler, m):
    study, choose = Study(sampler, MIXED, m), random.Random(0)
    values = [0.0, 1.0, -1.0, math.nan, math.inf, -math.inf, 1e308, -1e308]
    study.run(60, lambda record: tuple(choose.choice(values) for _ in range(m)))
    assert all(MIXED[name].contains(value) for params in study.params for name, value in params.items())


@pytest.mark.parametrize("sampler", [NSGA2(), NSGA3()], ids=["2", "3"])
def test_trials_that_keep_a_measured_limit_are_the_parents_of_the_others(sampler):
    def late(x: np.ndarray) -> float:
        return 1.3 - x[0] - x[1]  # a quarter keeps it

    def run(sampler: Sampler) -> np.ndarray:
        study = Study(sampler, cube(6), 2, seed=1)
        while len(study.history) < 150:
            record = study.start()
            study.finish(record, zdt1(point(record)), late(point(record)))
        return study.history.columns.violations

    found, at_random = run(sampler)[75:], run(Random())
    assert (found <= 0.0).mean() > 2.0 * (at_random <= 0.0).mean()


@pytest.mark.parametrize("make", [NSGA2, NSGA3])
@pytest.mark.parametrize("settings", [{"population_size": 3}, {"eta": 0.0}, {"crossover": 1.5}, {"mutation": -0.1}])
def test_wrong_settings_are_refused(make, settings):
    with pytest.raises(ValueError, match=f"{make.__name__}: {next(iter(settings))}="):
        make(**settings)
