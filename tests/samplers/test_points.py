"""Random and quasi-random draws: where coordinates come from, and how evenly they fill a space."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from scipy import stats
from scipy.stats import qmc

from honed.domains import Categorical, Float, Int
from honed.history import History
from honed.records import StudyRecord
from honed.samplers.base import Stream
from honed.samplers.combine import Distinct
from honed.samplers.quasirandom import Halton, Sobol
from honed.samplers.random import Random
from honed.space import Space
from honed.testing.driver import Ask, Driver

SPACE = Space(lr=Float(1e-4, 1, log=True), n=Int(1, 4), act=Categorical(["relu", "gelu"]), drop=Float(0, 0.5))
CUBE = Space({f"x{i}": Float(0, 1) for i in range(5)})


def discovered(ask: Ask) -> float:
    return float(sum(hash(ask(name, domain)) % 7 for name, domain in SPACE.domains.items()))


def points(sampler, n: int, seed: int = 0, space: Space = CUBE) -> np.ndarray:
    history = History.empty(StudyRecord(name="s", seed=seed), space)
    rows = [sampler.suggest(history, space, Stream(seed, i), {}).params.values() for i in range(n)]
    return np.array([list(row) for row in rows], dtype=float)


# --------------------------------------------------------------------------------------------------------- streams


def test_a_draw_depends_on_seed_number_round_and_name_only():
    rng = Stream(1, 2)
    first = rng.uniform("lr")
    rng.uniform("other")
    assert rng.uniform("lr") == Stream(1, 2).uniform("lr") == first
    others = [Stream(2, 2), Stream(1, 3), rng.again(), rng.again().again()]
    assert len({first, rng.uniform("rl"), *(other.uniform("lr") for other in others)}) == 6
    assert rng.again() == Stream(1, 2, 1)
    assert rng == Stream(1, 2)


def test_draws_are_uniform_and_names_are_independent():
    drawn = np.array([[Stream(3, i).uniform(name) for name in ("a", "b", "x0", "x1")] for i in range(4000)])
    for column in drawn.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-3
    for i, j in combinations(range(4), 2):
        assert abs(np.corrcoef(drawn[:, i], drawn[:, j])[0, 1]) < 0.06
    assert ((drawn >= 0) & (drawn < 1)).all()


def test_draws_of_neighbouring_seeds_numbers_and_rounds_are_independent():
    for streams in ([Stream(i, 0) for i in range(3000)], [Stream(0, 5, i) for i in range(3000)]):
        drawn = np.array([rng.uniform("x") for rng in streams])
        assert stats.kstest(drawn, "uniform").pvalue > 1e-3
        assert abs(np.corrcoef(drawn[1:], drawn[:-1])[0, 1]) < 0.06


def test_generators_have_names_of_their_own():
    a, b = Stream(1, 2).generator("a"), Stream(1, 2).generator("b")
    assert a.random() == Stream(1, 2).generator("a").random()
    assert Stream(1, 2).generator("a").random() != b.random()


def test_random_values_do_not_change_with_other_parameters():
    history = History.empty(StudyRecord(name="s"))
    one = Random().suggest(history, Space(lr=SPACE["lr"]), Stream(0, 7), {})
    many = Random().suggest(history, SPACE, Stream(0, 7), {})
    assert one.params["lr"] == many.params["lr"]


# ---------------------------------------------------------------------------------------------------- quasi-random


@pytest.mark.parametrize("sampler", [Sobol(), Halton(), Sobol(scramble=False), Halton(scramble=False)], ids=str)
def test_trials_fill_the_space_more_evenly_than_random_ones(sampler):
    for n in (16, 50, 128):
        ours = np.mean([qmc.discrepancy(points(sampler, n, seed)) for seed in range(4)])
        random = np.mean([qmc.discrepancy(points(Random(), n, seed)) for seed in range(12)])
        assert ours < 0.6 * random


@pytest.mark.parametrize("sampler", [Sobol(), Halton()], ids=str)
def test_seeds_make_different_studies_and_plain_points_do_not(sampler):
    plain = type(sampler)(scramble=False)
    assert not np.isclose(points(sampler, 8, 1), points(sampler, 8, 2)).any()
    assert np.array_equal(points(plain, 8, 1), points(plain, 8, 2))
    assert points(plain, 1).min() > 0.05  # not the corner of the cube


@pytest.mark.parametrize("sampler", [Sobol(), Halton(), Random()], ids=str)
def test_declared_and_discovered_spaces_get_the_same_points(sampler):
    one_by_one, at_once = Driver(sampler, discovered, seed=5), Driver(sampler, space=SPACE, seed=5)
    one_by_one.run(12)
    at_once.run(12)
    assert one_by_one.params == at_once.params


@pytest.mark.parametrize("sampler", [Sobol(), Halton()], ids=str)
def test_a_new_parameter_leaves_the_points_of_the_others(sampler):
    before = points(sampler, 40, space=CUBE)
    after = points(sampler, 40, space=CUBE.with_domains({f"y{i}": Float(0, 1) for i in range(60)}))
    assert np.array_equal(after[:, :5], before)


@pytest.mark.parametrize("sampler", [Sobol(), Halton()], ids=str)
def test_a_point_that_was_refused_is_replaced_by_another(sampler):
    history = History.empty(StudyRecord(name="s"), CUBE)
    rng, seen = Stream(0, 3), set()
    for _ in range(20):
        seen.add(tuple(sampler.suggest(history, CUBE, rng, {}).params.values()))
        rng = rng.again()
    assert len(seen) == 20


def test_each_decade_gets_its_share():
    drawn = [math.floor(math.log10(lr)) for lr in points(Sobol(), 64, space=Space(lr=Float(1e-4, 1, log=True)))[:, 0]]
    assert [drawn.count(decade) for decade in range(-4, 0)] == [16] * 4


def test_distinct_points_of_a_finite_space_stay_even():
    driver = Driver(Distinct(Sobol()), space=Space(a=Int(0, 8), b=Int(0, 8)), seed=1)
    driver.run(27)
    cells = np.array([[p["a"], p["b"]] for p in driver.params])
    assert len(np.unique(cells, axis=0)) == 27
    for column in cells.T:
        assert np.bincount(column // 3).min() >= 6
