"""The wrappers: nothing twice, nothing forbidden, some parameters fixed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from scipy import stats

from honed.domains import Bool, Categorical, Float, Int, Ordinal, Scalar
from honed.errors import NoFeasiblePoint
from honed.history import History
from honed.records import Exhausted, State, StudyRecord, Suggestion, TrialRecord, Wait
from honed.samplers.base import Sampler, Stream
from honed.samplers.beliefs import Believing
from honed.samplers.combine import Countable, Distinct, Feasible, Fixed, Held, feasible_share, fit_for_use, refuse_empty
from honed.samplers.grid import Grid
from honed.samplers.quasirandom import Halton, Sobol
from honed.samplers.random import Random
from honed.space import Space
from honed.testing.driver import Driver

SQUARE = Space(a=Int(0, 8), b=Int(0, 8))
MIXED = Space(model=Categorical(["baseline", "net"]), lr=Float(1e-4, 1, log=True).when(model="net"))
PEERS: list[Sampler] = [Random(), Sobol(), Halton(), Sobol(scramble=False)]


@dataclass(frozen=True)
class Stubborn:
    """Proposes the same all the time."""

    params: Mapping[str, Scalar]

    def suggest(self, history: History, space: Space, rng: Stream, given: Mapping[str, Scalar]) -> Suggestion:
        return Suggestion({n: v for n, v in self.params.items() if n in space}, {"by": "stubborn"})


def four(ask) -> float:
    return float(sum(ask(f"x{i}", Int(0, 2)) for i in range(4)))


def conditional(ask) -> float:
    if ask("model", Categorical(["linear", "tree"])) == "linear":
        return float(ask("degree", Int(1, 3)))
    return float(sum(ask(f"split_{i}", Ordinal([2, 4, 8])) for i in range(ask("depth", Int(1, 2)))))


def moving(ask) -> float:
    a = ask("a", Int(0, 3))
    b = ask("b", Int(0, a + 1))
    return float(ask("c", Bool())) if b == 2 else float(b)


def proposed(sampler: Sampler, history: History, space: Space, number: int, **given: Any) -> dict[str, Any]:
    answer = sampler.suggest(history, space, Stream(0, number), given)
    assert isinstance(answer, Suggestion)
    return dict(answer.params)


def cells(driver: Driver) -> list[tuple]:
    return [tuple(sorted(params.items())) for params in driver.params]


# ---------------------------------------------------------------------------------------------------------- distinct


@pytest.mark.parametrize("sampler", PEERS, ids=str)
@pytest.mark.parametrize(("objective", "size"), [(four, 81), (conditional, 15), (moving, 17)])
def test_a_discovered_space_takes_exactly_as_many_trials_as_it_has_configurations(sampler, objective, size: int):
    for seed in range(3):
        driver = Driver(Distinct(sampler), objective, seed=seed)
        assert driver.run(1000) == Exhausted(f"All {size} configurations tried")
        assert len(set(cells(driver))) == len(cells(driver)) == size


@pytest.mark.parametrize("workers", [1, 2, 8])
@pytest.mark.parametrize("sampler", PEERS, ids=str)
def test_a_declared_space_is_shared_by_any_number_of_workers(sampler, workers: int):
    for seed in range(3):
        driver = Driver(Distinct(sampler), space=Space({f"x{i}": Int(0, 2) for i in range(4)}), seed=seed)
        choose = random.Random(seed)
        while isinstance(driver.start(), TrialRecord) or driver.started:
            while len(driver.started) >= workers or (driver.started and choose.random() < 0.3):
                number = choose.choice(list(driver.started))
                driver.finish(number, choose.choice([None, None, State.FAILED, State.STOPPED]))
            if choose.random() < 0.1:
                driver.restart()
            if len(cells(driver)) == 81:
                break
        assert len(set(cells(driver))) == len(cells(driver)) == 81
        assert driver.start() == Exhausted("All 81 configurations tried")


def test_an_untried_configuration_is_found_for_a_stubborn_sampler():
    driver = Driver(Distinct(Stubborn({"a": 4, "b": 4})), space=SQUARE)
    assert driver.run(500) == Exhausted("All 81 configurations tried")
    assert driver.params[0] == {"a": 4, "b": 4}
    assert driver.history[0].note == {"by": "stubborn"}


def test_what_replaces_a_duplicate_is_uniform_over_what_is_left():
    counts = dict.fromkeys(range(9), 0)
    for seed in range(900):
        driver = Driver(Distinct(Stubborn({"a": 0})), space=Space(a=Int(0, 9)), seed=seed)
        driver.run(2)
        counts[driver.params[1]["a"] - 1] += 1
    assert stats.chisquare(list(counts.values())).pvalue > 0.001


def test_a_branch_without_parameters_is_tried_once_beside_endless_ones():
    driver = Driver(Distinct(Random()), space=MIXED)
    driver.run(60)
    assert [params["model"] for params in driver.params].count("baseline") == 1
    found = Driver(Distinct(Random()), lambda ask: ask("m", Bool()) and ask("lr", Float(0, 1)))
    found.run(60)
    assert [params["m"] for params in found.params].count(False) == 1


def test_an_endless_space_is_left_to_the_sampler():
    space = Space(lr=Float(0, 1), n=Int(0, 10**9))
    alone, wrapped = Driver(Sobol(), space=space), Driver(Distinct(Sobol()), space=space)
    alone.run(20)
    wrapped.run(20)
    assert wrapped.params == alone.params
    assert not wrapped.history._book.folds


def test_a_large_finite_space_has_no_duplicates_either():
    driver = Driver(Distinct(Random()), space=Space({f"c{i}": Categorical(["a", "b"]) for i in range(9)}))
    driver.run(500)
    assert len(set(cells(driver))) == 500
    assert driver.run(1000) == Exhausted("All 512 configurations tried")


def test_a_worker_waits_where_only_running_configurations_are_left():
    driver = Driver(Distinct(Random()), four, seed=1)
    driver.run(77)
    running = [driver.start() for _ in range(4)]
    assert all(isinstance(begun, TrialRecord) for begun in running)
    assert len(set(cells(driver))) == 81
    waiting = driver.start()
    assert isinstance(waiting, Wait)
    assert "running trials will show" in waiting.reason
    for number in list(driver.started):
        driver.finish(number)
    assert driver.start() == Exhausted("All 81 configurations tried")


def test_an_unknown_branch_is_not_left_to_its_first_trial():
    def objective(ask) -> float:
        return float(
            ask("lr", Float(0, 1)) if ask("opt", Categorical(["sgd", "adam"])) == "sgd" else ask("b", Float(0, 1))
        )

    driver = Driver(Distinct(Random()), objective)
    while driver.run(len(driver.history) + 1) is None and driver.params[-1]["opt"] != "sgd":
        pass
    for _ in range(60):
        driver.start()
    adam = [params["opt"] for params in driver.params[-60:]].count("adam")
    assert 15 < adam < 45


def test_running_trials_are_not_repeated():
    for sampler in PEERS:
        driver = Driver(Distinct(sampler), space=SQUARE)
        for _ in range(40):
            driver.start()
        assert len(set(cells(driver))) == 40


def test_a_space_edit_opens_what_is_new():
    driver = Driver(Distinct(Random()), space=Space(a=Int(0, 2)))
    driver.run(9)
    driver.declared = Space(a=Int(0, 4))
    driver.restart()
    assert driver.run(9) == Exhausted("All 5 configurations tried")
    assert sorted(params["a"] for params in driver.params) == [0, 1, 2, 3, 4]


# ------------------------------------------------------------------------------------------------------ forbidden


@pytest.mark.parametrize("sampler", PEERS, ids=str)
def test_none_is_forbidden_in_a_thousand(sampler):
    space = Space(a=Float(0, 100), b=Float(0, 100), n=Int(1, 9)).forbid(lambda p: p["a"] + p["b"] > 60)
    history = History.empty(StudyRecord(name="s"), space)
    for number in range(1000):
        assert space.is_allowed(proposed(Feasible(sampler), history, space, number))


def test_a_stubborn_sampler_is_replaced_by_random_draws():
    space = SQUARE.forbid(lambda p: p["a"] == 4)
    history = History.empty(StudyRecord(name="s"), space)
    assert space.is_allowed(proposed(Feasible(Stubborn({"a": 4, "b": 4})), history, space, 0))


def test_a_single_parameter_is_steered_by_what_the_trial_has():
    rules = Space().forbid(lambda p: p["a"] + p["b"] > 10)
    history = History.empty(StudyRecord(name="s"), rules)
    for number in range(50):
        assert proposed(Feasible(Random()), history, Space(b=Float(0, 10)), number, a=9.0)["b"] <= 1.0


def test_a_space_without_an_allowed_point_is_refused_with_the_rules_share():
    def negative(p):
        return p["a"] < 0.8

    space = Space(a=Float(0, 1), b=Float(0, 1)).forbid(negative).forbid(lambda p: p["a"] > 0.7)
    with pytest.raises(NoFeasiblePoint, match=r"None of 10,000 random configurations is allowed: ") as caught:
        refuse_empty(space)
    line = negative.__code__.co_firstlineno
    assert f"rule 1 (test_combine.py:{line}) forbids 8" in str(caught.value)
    assert f"rule 2 (test_combine.py:{line + 3}) forbids 3" in str(caught.value)
    assert "Loosen a rule, or narrow the domains" in str(caught.value)
    history = History.empty(StudyRecord(name="s"), space)
    with pytest.raises(NoFeasiblePoint):
        Feasible(Random()).suggest(history, space, Stream(0, 0), {})


def test_spaces_with_something_allowed_are_not_refused():
    refuse_empty(SQUARE)
    refuse_empty(Space().forbid(lambda p: True))
    rare = Space(a=Float(0, 1)).forbid(lambda p: p["a"] > 0.002)
    refuse_empty(rare)
    assert feasible_share(rare, n=10_000) == pytest.approx(0.002, abs=0.002)


@pytest.mark.parametrize("sampler", [*PEERS, Grid()], ids=str)
def test_a_forbidden_part_of_a_finite_space_is_left_out_of_the_count(sampler):
    space = SQUARE.forbid(lambda p: p["a"] > p["b"])
    driver = Driver(fit_for_use(sampler), space=space)
    assert driver.run(100) == Exhausted("All 45 configurations tried")
    assert all(params["a"] <= params["b"] for params in driver.params)


def test_fit_for_use_leaves_a_bookkeeper_alone():
    assert fit_for_use(Grid()) == Held(Grid())
    assert fit_for_use(Random()) == Held(Distinct(Feasible(Believing(Random()))))
    assert fit_for_use(fit_for_use(Random())) == fit_for_use(Random())
    assert fit_for_use(Countable(Grid(), Sobol())) == Held(Countable(Grid(), Sobol()))


# ---------------------------------------------------------------------------------------------------------- fixed


@pytest.mark.parametrize("sampler", [*PEERS, Grid(points=3), Distinct(Random())], ids=str)
def test_fixed_values_never_move(sampler):
    space = Space(
        opt=Categorical({"sgd": max, "adam": min}), momentum=Float(0, 0.9).when(opt="sgd"), lr=Float(0, 1), n=Int(1, 3)
    )
    driver = Driver(Fixed(sampler, {"opt": max, "n": 2.0}), space=space)
    driver.run(9)
    assert len(driver.params) == 9
    assert all(params["opt"] == "sgd" and params["n"] == 2 and "momentum" in params for params in driver.params)
    assert len({params["lr"] for params in driver.params}) > 1


def test_a_grid_of_the_rest_ends():
    driver = Driver(fit_for_use(Fixed(Grid(), {"a": 3})), space=SQUARE)
    assert driver.run(99) == Exhausted("All 9 configurations tried")
    assert {params["a"] for params in driver.params} == {3}
    found = Driver(fit_for_use(Fixed(Grid(), {"x1": 2})), four)
    found.run(99)
    assert len(set(cells(found))) == len(cells(found)) == 27
    assert {params["x1"] for params in found.params} == {2}


def test_a_fixed_value_outside_its_domain_is_refused():
    with pytest.raises(ValueError, match=r"Fixed: 'a': 99 is not in Int\(0..8\); fix it at a value of its domain"):
        Driver(Fixed(Random(), {"a": 99}), space=SQUARE).start()
    with pytest.raises(ValueError, match=r"Fixed: 'aa' is not in the space\. Did you mean 'a'\?"):
        Driver(Fixed(Random(), {"aa": 9}), space=SQUARE).start()


# -------------------------------------------------------------------------------------------------------- countable


def test_a_grid_gives_way_as_soon_as_something_is_endless():
    def objective(ask) -> float:
        return ask("lr", Float(0, 1)) + ask("n", Int(1, 9)) if ask("opt", Bool()) else ask("n", Int(1, 9))

    driver = Driver(Countable(Grid(), otherwise=Sobol()), objective)
    assert driver.run(60) is None
    assert sum("lr" not in params for params in driver.params) <= 9
    finite = Driver(Countable(Grid(), otherwise=Sobol()), four)
    assert finite.run(100) == Exhausted("All 81 configurations tried")
