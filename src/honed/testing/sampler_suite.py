"""What every sampler must do, as tests to inherit.

In a test module of your own, run by pytest::

    class TestMySampler(SamplerSuite):
        @pytest.fixture
        def sampler(self):
            return MySampler()

A sampler need not know of duplicates, forbidden regions or conditions: studies wrap it (``honed.samplers.combine``), and the
suite wraps it where it tests for these.
"""

from __future__ import annotations

import copy
import json
import math
import random
from collections.abc import Iterator, Mapping
from functools import lru_cache

from honed.domains import Bool, Categorical, Const, Domain, Float, Int, Ordinal, Scalar
from honed.history import History
from honed.records import Cause, Delta, Exhausted, State, StudyRecord, Suggestion, TrialRecord, Wait
from honed.samplers.base import Sampler, Stream
from honed.samplers.combine import fit_for_use
from honed.space import Space
from honed.testing.driver import Ask, Driver

MIXED = Space(
    lr=Float(1e-5, 1.0, log=True),
    dropout=Float(0.0, 0.5, step=0.1),
    momentum=Float.near_one(0.9, 0.9999),
    layers=Int(1, 4),
    units=Int(16, 512, factor=2),
    batch=Ordinal([32, 64, 128]),
    act=Categorical({"relu": max, "gelu": min}, weights=[3, 1]),
    optimizer=Categorical(["sgd", "adam"]),
    nesterov=Bool().when(optimizer="sgd"),
    beta=Float(0.5, 0.99).when(optimizer="adam"),
    data=Const("mnist"),
)
"""Every kind of domain, and conditions."""

SMALL = Space(a=Int(0, 2), b=Categorical(["x", "y"]), c=Bool().when(b="y"))
"""Nine configurations."""


def conditional(ask: Ask) -> float:
    """An objective with branches, a loop, and names that only some trials have."""
    lr = ask("lr", Float(1e-4, 1.0, log=True))
    if ask("optimizer", Categorical(["sgd", "adam"])) == "sgd":
        lr += ask("momentum", Float(0, 0.99))
    return float(lr + sum(ask(f"units_{i}", Int(16, 64, step=16)) for i in range(ask("layers", Int(1, 3)))))


def moving(ask: Ask) -> float:
    """An objective whose ranges and choices depend on other values."""
    low = ask("low", Float(-1.0, 1.0))
    high = ask("high", Float(low, 2.0))
    n = ask("n", Int(1, 5))
    k = ask("k", Int(0, n))
    choice = ask("choice", Categorical(list(range(n + 1))))
    assert low <= high
    return float(low + high + k + choice)


def small(ask: Ask) -> float:
    """An objective with nine configurations that nobody has declared."""
    value = ask("a", Int(0, 2))
    return float(value + (ask("c", Bool()) if ask("b", Categorical(["x", "y"])) == "y" else 2))


def histories() -> Iterator[tuple[str, History]]:
    """Histories that samplers have stumbled over."""
    yield "empty", _history([])
    yield "one trial", _history([1.0])
    yield "all equal values", _history([1.0] * 30)
    yield "all the same trial", _history([1.0] * 30, same=True)
    yield "all failed", _history([None] * 30)
    yield "NaN and infinities", _history([math.nan, math.inf, -math.inf, 1.0, math.nan, 1e308, -1e308, 5e-324] * 4)
    yield "only NaN", _history([math.nan] * 12)
    yield "half failed", _history([float(i) if i % 2 else None for i in range(40)])
    yield "two objectives", _history([float(i) for i in range(20)], directions=("minimize", "maximize"))
    yield "running, waiting and paused", _history([1.0] * 5, unfinished=9)
    yield "another space before", _history([float(i) for i in range(20)], before=Space(lr=Int(1, 9), act=Float(0, 1)))
    yield "values outside", _history([1.0] * 9, before=Space(lr=Float(1.0, 1e9), units=Int(1, 2**53), old=Bool()))


class SamplerSuite:
    """Inherit it, and give it a fixture ``sampler``."""

    def test_it_is_a_sampler(self, sampler: Sampler) -> None:
        assert isinstance(sampler, Sampler), f"{sampler} has no suggest(history, space, rng, given)"

    def test_values_are_inside_their_domains_and_of_their_types(self, sampler: Sampler) -> None:
        driver = Driver(sampler, space=MIXED, seed=1)
        driver.run(25)
        assert len(driver.history) > 9
        for params in driver.params:
            _check(params, MIXED)

    def test_a_parameter_is_there_only_under_its_condition(self, sampler: Sampler) -> None:
        driver = Driver(sampler, space=MIXED, seed=2)
        driver.run(25)
        for params in driver.params:
            assert ("nesterov" in params) == (params["optimizer"] == "sgd")
            assert ("beta" in params) == (params["optimizer"] == "adam")

    def test_discovered_conditions_are_followed(self, sampler: Sampler) -> None:
        driver = Driver(sampler, conditional, seed=3)
        driver.run(25)
        assert len(driver.history) > 9
        for params in driver.params:
            assert ("momentum" in params) == (params["optimizer"] == "sgd")
            assert sum(name.startswith("units") for name in params) == params["layers"]

    def test_ranges_and_choices_may_differ_from_trial_to_trial(self, sampler: Sampler) -> None:
        driver = Driver(sampler, moving, seed=4)
        driver.run(25)  # the driver checks that each value is in the domain that was asked for
        assert len(driver.history) > 9

    def test_one_parameter_can_be_asked_for_alone(self, sampler: Sampler) -> None:
        history = _history([1.0, 2.0])
        for number in range(2, 12):
            alone = Space(new=Float(0.0, 1.0))
            answer = sampler.suggest(history, alone, Stream(0, number), {"lr": 0.1, "data": "mnist"})
            assert isinstance(answer, Suggestion)
            assert set(answer.params) == {"new"}
            assert alone["new"].contains(answer.params["new"])

    def test_any_history_is_survived(self, sampler: Sampler) -> None:
        for name, history in histories():
            for number in (len(history), len(history) + 1, 10**6):
                answer = sampler.suggest(history, history.space, Stream(7, number), {})
                assert isinstance(answer, Suggestion | Wait | Exhausted), f"{name}: {answer!r}"
                if isinstance(answer, Suggestion):
                    _check(answer.params, history.space)
                    json.dumps(dict(answer.note))

    def test_ten_thousand_trials_are_survived(self, sampler: Sampler) -> None:
        history = _long_history()
        answer = sampler.suggest(history, history.space, Stream(0, len(history)), {})
        assert isinstance(answer, Suggestion)
        _check(answer.params, history.space)

    def test_same_seed_and_number_give_the_same_suggestion(self, sampler: Sampler) -> None:
        for name, history in histories():
            rng, again = Stream(5, len(history)), Stream(5, len(history))
            first = sampler.suggest(history, history.space, rng, {})
            assert sampler.suggest(history, history.space, again, {}) == first, name
            assert copy.deepcopy(sampler).suggest(history, history.space, again, {}) == first, name

    def test_it_does_not_matter_how_the_history_was_read(self, sampler: Sampler) -> None:
        for objective, space in ((conditional, None), (moving, None), (None, MIXED)):
            steady = Driver(sampler, objective, space=space, seed=6)
            torn = Driver(copy.deepcopy(sampler), objective, space=space, seed=6)
            for n in range(3, 19, 3):
                steady.run(n)
                torn.run(n)
                torn.restart()
            assert steady.params == torn.params

    def test_the_history_stays_as_it_is(self, sampler: Sampler) -> None:
        for name, history in histories():
            before = [(record.number, dict(record.params), repr(record)) for record in history]
            columns = [array.tobytes() for array in (history.columns.params, history.columns.losses)]
            sampler.suggest(history, history.space, Stream(0, len(history)), {})
            assert [(record.number, dict(record.params), repr(record)) for record in history] == before, name
            assert [a.tobytes() for a in (history.columns.params, history.columns.losses)] == columns, name

    def test_a_finite_space_is_used_up_exactly(self, sampler: Sampler) -> None:
        for objective, space in ((small, None), (None, SMALL)):
            driver = Driver(fit_for_use(sampler), objective, space=space, seed=8)
            end = driver.run(100)
            assert end == Exhausted("All 9 configurations tried")
            assert len({tuple(sorted(params.items())) for params in driver.params}) == len(driver.history) == 9

    def test_workers_share_a_finite_space(self, sampler: Sampler) -> None:
        for seed in range(5):
            driver = Driver(fit_for_use(sampler), space=SMALL, seed=seed)
            choose = random.Random(seed)
            for _ in range(200):
                if len(driver.started) == 4 or not isinstance(driver.start(), TrialRecord):
                    if not driver.started:
                        break
                    driver.finish(choose.choice(list(driver.started)))
            assert len({tuple(sorted(params.items())) for params in driver.params}) == len(driver.history) == 9

    def test_forbidden_configurations_are_never_tried(self, sampler: Sampler) -> None:
        space = SMALL.forbid(lambda p: p["a"] == 1 and p["b"] == "x").forbid(lambda p: p["c"] and p["a"] == 0)
        driver = Driver(fit_for_use(sampler), space=space, seed=9)
        assert driver.run(100) == Exhausted("All 7 configurations tried")
        assert all(space.is_allowed(params) for params in driver.params)
        large = MIXED.forbid(lambda p: p["layers"] * p["units"] > 256).forbid(lambda p: p["act"] is max)
        driver = Driver(fit_for_use(sampler), space=large, seed=10)
        driver.run(40)
        assert len(driver.history) > 9
        assert all(large.is_allowed(params) for params in driver.params)


def _check(params: Mapping[str, Scalar], space: Space) -> None:
    for name, value in params.items():
        domain: Domain = space[name]
        assert domain.contains(value), f"{name}={value!r} is not in {domain}"
        expected = {Float: float, Int: int}.get(type(domain), type(value))
        assert type(value) is expected, f"{name}={value!r} is a {type(value).__name__}, not a {expected.__name__}"


def _history(
    values: list[float | None],
    *,
    same: bool = False,
    unfinished: int = 0,
    before: Space | None = None,
    directions: tuple[str, ...] = ("minimize",),
) -> History:
    """A history of MIXED with one finished trial for each value (None has failed)."""
    asked = MIXED if before is None else before
    metrics = tuple(f"value{i}" for i in range(len(directions)))
    study = StudyRecord(name="s", directions=directions, metrics=metrics, space=MIXED.to_json())  # type: ignore[arg-type]
    trials = []
    for number in range(len(values) + unfinished):
        rng = Stream(99, 0 if same else number)
        params = asked.active({name: domain.decode(rng.uniform(name)) for name, domain in asked.domains.items()})
        domains = {name: asked[name] for name in params}
        if number >= len(values):
            state = (State.RUNNING, State.WAITING, State.PAUSED)[number % 3]
            trials.append(TrialRecord(number=number, state=state, params=params, domains=domains, attempt=1))
            continue
        value = values[number]
        state = State.FAILED if value is None else (State.COMPLETE, State.STOPPED)[number % 3 == 2]
        results = None if value is None else (value,) * len(directions)
        cause = None if value is not None else Cause.ERROR
        trials.append(
            TrialRecord(number=number, state=state, params=params, domains=domains, values=results, cause=cause)
        )
    return History.empty(study, MIXED).extend(Delta(revision=1, trials=tuple(trials)))


@lru_cache(maxsize=1)
def _long_history() -> History:
    return _history([math.sin(i) for i in range(10_000)])
