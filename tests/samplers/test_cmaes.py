"""CMA-ES found again in the history: the same members in any process and order, and better ones than at random."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from cmaes import CMA

from honed.domains import Bool, Categorical, Const, Float, Int, Ordinal
from honed.records import Cause, State, TrialRecord
from honed.samplers.base import Stream
from honed.samplers.cmaes import CMAES
from honed.samplers.combine import Fixed, fit_for_use
from honed.samplers.generations import Member
from honed.samplers.random import Random
from honed.space import Space
from honed.testing.driver import Ask, Driver, Objective

CUBE = Space({f"x{i}": Float(0, 1) for i in range(10)})
SMALL = Space({f"x{i}": Float(0, 1) for i in range(3)})
MIXED = Space(
    x=Float(0, 1),
    y=Float(1e-4, 1, log=True),
    n=Int(1, 9),
    m=Int(1, 64, log=True),
    size=Ordinal([16, 32, 64]),
    act=Categorical(list("abcd")),
    flag=Bool(),
    data=Const("mnist"),
)
EVEN = Space(x=Float(0, 1), n=Int(1, 9), size=Ordinal([16, 32, 64]))
CONDITIONAL = Space(
    a=Float(0, 1), kind=Categorical(["p", "q"]), b=Float(0, 1).when(kind="p"), c=Int(1, 9).when(kind="q")
)


def asked(ask: Ask, space: Space) -> dict[str, Any]:
    return {name: ask(name, domain) for name, domain in space.domains.items()}


def sphere(space: Space = CUBE) -> Objective:
    return lambda ask: float(sum((x - 0.3) ** 2 for x in asked(ask, space).values()))


def rosenbrock(ask: Ask) -> float:
    x = 4.0 * np.array(list(asked(ask, CUBE).values())) - 2.0
    return float((100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2).sum())


def mixed(ask: Ask) -> float:
    p = asked(ask, MIXED)
    numbers = (p["x"] - 0.7) ** 2 + (math.log10(p["y"]) + 2) ** 2 / 4 + ((p["n"] - 7) / 8) ** 2
    return float(
        numbers + (math.log(p["m"] / 20) / 4) ** 2 + 0.3 * (p["act"] != "c") + 0.2 * p["flag"] + p["size"] / 320
    )


def even(ask: Ask) -> float:
    p = asked(ask, EVEN)
    return float((p["x"] - 0.7) ** 2 + ((p["n"] - 7) / 8) ** 2 + p["size"] / 320)


def conditional(ask: Ask) -> float:
    a = ask("a", CONDITIONAL["a"])
    if ask("kind", CONDITIONAL["kind"]) == "p":
        return float(a + (ask("b", CONDITIONAL["b"]) - 0.5) ** 2)
    return float(a + abs(ask("c", CONDITIONAL["c"]) - 5) / 9)


def place(record: TrialRecord) -> Mapping[str, Any]:
    note: Mapping[str, Any] = record.note["cmaes"]
    return note


def start(driver: Driver, n: int) -> list[int]:
    """Begins ``n`` trials and gives their numbers."""
    records = [driver.start() for _ in range(n)]
    return [record.number for record in records if isinstance(record, TrialRecord)]


def in_parallel(driver: Driver, n: int, workers: int, seed: int, after: Callable[[], None] = lambda: None) -> None:
    """Runs trials until there are ``n``; any running one may be the next to finish."""
    choose = random.Random(seed)
    while len(driver.history) < n or driver.started:
        if len(driver.started) < workers and len(driver.history) < n:
            driver.start()
        else:
            driver.finish(choose.choice(sorted(driver.started)))
        after()


# ------------------------------------------------------------------------------------------------------------ refolding


def test_it_is_a_straight_run_of_cmaes():
    driver = Driver(CMAES(), sphere(SMALL), space=SMALL, seed=4)
    driver.run(70)
    straight = CMA(mean=np.full(3, 0.5), sigma=0.25, bounds=np.tile([0.0, 1.0], (3, 1)), seed=0)
    assert straight.population_size == 7
    for generation in range(10):
        told = []
        for index in range(7):
            straight.reseed_rng(Member(0, 0, generation, index).seed(4))
            x = straight.ask()
            assert list(driver.params[generation * 7 + index].values()) == pytest.approx(x.tolist(), abs=1e-9)
            told.append((x, float(((x - 0.3) ** 2).sum())))
        straight.tell(told)


@pytest.mark.parametrize(
    ("space", "objective"), [(SMALL, sphere(SMALL)), (EVEN, even), (MIXED, mixed), (CONDITIONAL, conditional)]
)
@pytest.mark.parametrize("workers", [1, 5])
def test_suggestions_are_the_same_after_reopening_at_any_point(space, objective, workers):
    steady, torn = (Driver(CMAES(population_size=6), objective, space=space, seed=2) for _ in range(2))
    in_parallel(steady, 42, workers, seed=1)
    in_parallel(torn, 42, workers, seed=1, after=torn.restart)
    assert steady.params == torn.params
    assert place(steady.history[41])["generation"] >= 5


@pytest.mark.parametrize(("space", "objective"), [(SMALL, sphere(SMALL)), (EVEN, even), (MIXED, mixed)])
def test_the_order_of_finishing_within_a_generation_does_not_matter(space, objective):
    drivers = [Driver(CMAES(population_size=6), objective, space=space, seed=3) for _ in range(3)]
    for shuffle, driver in enumerate(drivers):
        choose = random.Random(shuffle)
        for _ in range(6):
            numbers = start(driver, 6)
            for number in choose.sample(numbers, 6):
                driver.finish(number)
    assert drivers[0].params == drivers[1].params == drivers[2].params
    assert [place(record)["index"] for record in drivers[0].history][-6:] == [0, 1, 2, 3, 4, 5]


def test_a_suggestion_that_nobody_took_changes_nothing():
    driver, asked_twice = (Driver(CMAES(), sphere(SMALL), space=SMALL, seed=5) for _ in range(2))
    driver.run(40)
    history = None
    while len(asked_twice.history) < 40:
        record = asked_twice.start()
        assert isinstance(record, TrialRecord)
        if history is not None:  # an older snapshot is asked again
            asked_twice.sampler.suggest(history, history.space, Stream(5, len(history)), {})
        history = asked_twice.history
        asked_twice.finish(record.number)
    assert asked_twice.params == driver.params


def test_more_workers_than_members_draw_further_members_and_late_ones_count():
    driver = Driver(CMAES(population_size=5), sphere(SMALL), space=SMALL, seed=6)
    numbers = start(driver, 12)
    assert [place(driver.history[n])["index"] for n in numbers] == list(range(12))
    assert len({tuple(p.values()) for p in driver.params}) == 12
    for number in numbers[:5]:
        driver.finish(number)
    (fresh,) = start(driver, 1)
    assert (place(driver.history[fresh])["generation"], place(driver.history[fresh])["index"]) == (1, 0)
    for number in numbers[5:10]:  # they belong to the generation before
        driver.finish(number)
    (fresh,) = start(driver, 1)
    assert place(driver.history[fresh])["generation"] == 2


# ------------------------------------------------------------------------------------------------------------- failures


def test_a_lost_member_is_replaced_and_a_failed_one_counts_as_worst():
    driver = Driver(CMAES(population_size=4), sphere(SMALL), space=SMALL, seed=7)
    first, second, third, fourth = start(driver, 4)
    driver.finish(first, State.FAILED, Cause.OOM)
    driver.finish(second, State.FAILED, Cause.LOST)
    driver.finish(third)
    driver.finish(fourth)
    (fifth,) = start(driver, 1)
    assert (place(driver.history[fifth])["generation"], place(driver.history[fifth])["index"]) == (0, 4)
    driver.finish(fifth)
    (sixth,) = start(driver, 1)
    assert place(driver.history[sixth])["generation"] == 1


def test_it_moves_away_from_where_trials_fail():
    def half(ask: Ask) -> float:
        x = list(asked(ask, SMALL).values())
        return sum(x) / 0.0 if x[0] > 0.4 else sum(x)

    driver = Driver(CMAES(), half, space=SMALL, seed=8)
    driver.run(80)
    assert sum(record.state is State.FAILED for record in list(driver.history)[40:]) < 5
    assert driver.history.best is not None
    assert driver.history.best.value is not None
    assert driver.history.best.value < 0.1


@pytest.mark.parametrize("space", [SMALL, EVEN, MIXED, Space(a=Bool(), b=Categorical(list("xyz")))])
@pytest.mark.parametrize("value", [1.0, math.nan, math.inf, -math.inf])
def test_equal_losses_nan_and_infinities_end_in_restarts(space, value):
    driver = Driver(CMAES(population_size=4), lambda ask: 0.0 * len(asked(ask, space)) + value, space=space, seed=9)
    driver.run(300)
    members = [place(record) for record in driver.history]
    assert max(member["restart"] for member in members) >= 1
    assert max(member["index"] for member in members) == 7  # the first restart doubles the population
    assert all(space[name].contains(v) for params in driver.params for name, v in params.items())


def test_without_restarts_it_stays_with_one_run():
    driver = Driver(CMAES(population_size=4, restarts=False), lambda ask: 0.0 * asked(ask, SMALL)["x0"], space=SMALL)
    driver.run(300)
    assert {place(record)["restart"] for record in driver.history} == {0}


# -------------------------------------------------------------------------------------------------- spaces, and a warm start


def test_it_starts_from_the_best_trials_that_others_have_proposed():
    driver = Driver(Random(), sphere(), space=CUBE, seed=10)
    driver.run(100)
    driver.sampler = CMAES()
    in_parallel(driver, 120, 4, seed=0, after=driver.restart)
    values = [record.value or 0.0 for record in driver.history]
    assert np.mean(values[100:]) < np.mean(sorted(values[:100])[:40])
    assert {place(driver.history[n])["begun"] for n in range(100, 120)} == {100}


def test_trials_of_others_that_finish_later_do_not_move_the_start():
    driver = Driver(Random(), sphere(SMALL), space=SMALL, seed=11)
    in_parallel(driver, 30, 1, seed=0)
    running = start(driver, 3)
    driver.sampler = CMAES()
    (first,) = start(driver, 1)
    for number in running:
        driver.finish(number)
    start(driver, 2)
    driver.restart()
    start(driver, 2)
    members = [place(driver.history[number]) for number in range(first, first + 5)]
    assert [member["begun"] for member in members] == [30] * 5
    assert [member["index"] for member in members] == [0, 1, 2, 3, 4]
    for number in range(first, first + 5):
        driver.finish(number)
    answer = driver.sampler.suggest(driver.history, driver.history.space, Stream(11, len(driver.history)), {})
    driver.restart()
    assert driver.sampler.suggest(driver.history, driver.history.space, Stream(11, len(driver.history)), {}) == answer


def test_a_space_that_grows_begins_a_new_run_from_what_is_known():
    def grown(ask: Ask) -> float:
        return float((ask("a", Float(0, 1)) - 0.8) ** 2 + (ask("b", Float(0, 1)) - 0.2) ** 2)

    driver = Driver(CMAES(), lambda ask: float((ask("a", Float(0, 1)) - 0.8) ** 2), seed=12)
    driver.run(40)
    driver.objective = grown
    driver.run(80)
    runs = [place(record)["space"] for record in driver.history if record.note]
    assert len(set(runs)) == 2
    last = place(driver.history[79])
    assert last["begun"] == 41
    a = [params["a"] for params in driver.params[42:60]]
    assert abs(np.mean(a) - 0.8) < 0.1  # what is known of the old parameter is kept


def test_impossible_choices_are_never_drawn_and_constants_take_no_part():
    space = Space(x=Float(0, 1), act=Categorical(list("abc"), weights=[1, 0, 1]), data=Const("mnist"))
    driver = Driver(CMAES(), lambda ask: float(ask("x", space["x"])), space=space, seed=13)
    driver.run(60)
    assert {params["act"] for params in driver.params} == {"a", "c"}
    assert {params["data"] for params in driver.params} == {"mnist"}
    only = Driver(CMAES(), space=Space(data=Const("mnist")))
    assert isinstance(only.start(), TrialRecord)


def test_fixed_parameters_leave_a_smaller_search():
    driver = Driver(Fixed(CMAES(), {"x0": 0.25}), sphere(SMALL), space=SMALL, seed=14)
    driver.run(60)
    assert {params["x0"] for params in driver.params} == {0.25}
    assert driver.history.best is not None
    assert (driver.history.best.value or 0.0) < 0.01


def test_a_trial_that_asked_otherwise_is_told_as_it_was():
    driver = Driver(CMAES(population_size=5), sphere(SMALL), space=SMALL, seed=15)
    numbers = start(driver, 5)
    for number in numbers:  # the user has changed a value
        driver.started[number].params["x1"] = 0.95
        driver.finish(number)
    drawn = [driver.history[number].params["x1"] for number in start(driver, 40)]
    assert np.median(drawn) > 0.65


# ---------------------------------------------------------------------------------------------------------- better than random


def best_of(sampler: Any, objective: Objective, space: Space, seed: int, workers: int = 1, n: int = 300) -> float:
    driver = Driver(sampler, objective, space=space, seed=seed)
    in_parallel(driver, n, workers, seed)
    assert driver.history.best is not None
    assert driver.history.best.value is not None
    return driver.history.best.value


@pytest.mark.parametrize("workers", [1, 8, 32])
def test_three_hundred_trials_beat_random_search_on_ten_numbers(workers):
    for objective, factor in ((sphere(), 0.25), (rosenbrock, 0.25)):
        random_best = min(best_of(Random(), objective, CUBE, seed) for seed in (0, 1))
        assert best_of(CMAES(), objective, CUBE, 0, workers) < factor * random_best


def test_whole_numbers_steps_and_choices_are_found():
    for space, objective, target in ((EVEN, even, 0.055), (MIXED, mixed, 0.08)):
        value = best_of(fit_for_use(CMAES()), objective, space, 0, workers=3, n=250)
        assert value < target  # 0.05 is the best there is


def test_learning_rates_adapt_to_noise():
    def noisy(ask: Ask) -> float:
        x = np.array(list(asked(ask, SMALL).values()))
        return float(((x - 0.3) ** 2).sum() + 0.02 * np.sin(1e6 * x.sum()))

    driver = Driver(CMAES(adapt_learning_rate=True), noisy, space=SMALL, seed=1)
    driver.run(200)
    late = np.array([list(params.values()) for params in driver.params[150:]])
    assert np.abs(late.mean(axis=0) - 0.3).max() < 0.15


@pytest.mark.parametrize("settings", [{"population_size": 3}, {"population_size": 4.5}, {"sigma": 0.0}, {"sigma": 2}])
def test_wrong_settings_are_refused(settings):
    with pytest.raises(ValueError, match=f"CMAES: {next(iter(settings))}="):
        CMAES(**settings)
