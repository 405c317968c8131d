"""Gaussian-process search: it finds what random search does not, is a function of the history, and avoids failures."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
import pytest

from honed.auto import named
from honed.domains import Bool, Categorical, Float, Int, Ordinal
from honed.errors import Infeasible
from honed.history import History
from honed.records import Cause, Delta, State, StudyRecord, Suggestion, TrialRecord
from honed.samplers.base import Sampler, Stream
from honed.samplers.combine import Fixed
from honed.samplers.gp import GP
from honed.samplers.random import Random
from honed.space import Space
from honed.testing.driver import Ask, Driver

QUICK = GP(n_candidates=512)
BRANIN = Space(x=Float(-5.0, 10.0), y=Float(0.0, 15.0))
CUBE = Space({f"x{i}": Float(0.0, 1.0) for i in range(4)})
A = np.array([[10, 3, 17, 3.5], [0.05, 10, 17, 0.1], [3, 3.5, 1.7, 10], [17, 8, 0.05, 10]])
P = 1e-4 * np.array(
    [[1312, 1696, 5569, 124], [2329, 4135, 8307, 3736], [2348, 1451, 3522, 2883], [4047, 8828, 8732, 5743]]
)


def branin(ask: Ask) -> float:
    x, y = ask("x", BRANIN["x"]), ask("y", BRANIN["y"])
    bowl = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return float(bowl**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10 - 0.397887)


def hartmann(ask: Ask) -> float:
    x = np.array([ask(f"x{i}", CUBE[f"x{i}"]) for i in range(4)])
    return float(-(np.array([1.0, 1.2, 3.0, 3.2]) @ np.exp(-(A * (x - P) ** 2).sum(axis=1))))


def best(driver: Driver) -> float:
    assert driver.history.best is not None
    assert driver.history.best.value is not None
    return driver.history.best.value


def played(sampler: Sampler, objective, space: Space | None, n: int, seed: int = 0) -> Driver:
    driver = Driver(sampler, objective, space=space, seed=seed)
    driver.run(n)
    return driver


# ------------------------------------------------------------------------------------------------------- does it learn


def test_a_corner_that_noise_made_look_good_is_left_again() -> None:
    for seed in range(2):
        driver = Driver(GP(), space=BRANIN, seed=seed)
        values = []
        for number in range(50):  # noise of a twentieth of the way from the best value to the median
            driver.start()
            params = driver.started[number].params
            values.append(branin(lambda name, domain: params[name]))  # noqa: B023 - called at once
            noise = float(Stream(seed, number).generator("noise").standard_normal())
            driver.started[number].value = values[-1] + 2.0 * noise
            driver.finish(number)
        assert min(values) < 0.5, seed
        assert np.median(values[30:]) < 1.5, seed


def test_branin_is_solved_where_random_search_is_far_away() -> None:
    found = [best(played(QUICK, branin, BRANIN, 25, seed)) for seed in range(3)]
    drawn = [best(played(Random(), branin, BRANIN, 25, seed)) for seed in range(3)]
    assert np.median(found) < 0.1 < np.median(drawn)


def test_hartmann_is_better_than_ten_times_as_many_random_trials() -> None:
    found = [best(played(QUICK, hartmann, CUBE, 35, seed)) for seed in range(2)]
    drawn = [best(played(Random(), hartmann, CUBE, 350, seed)) for seed in range(2)]
    assert np.mean(found) < np.mean(drawn)


def test_mixed_and_conditional_parameters_are_learned() -> None:
    space = Space(
        optimizer=Categorical(["sgd", "adam", "lion"]),
        momentum=Float(0.0, 1.0).when(optimizer="sgd"),
        layers=Int(1, 6),
        width=Ordinal([16, 32, 64, 128]),
        lr=Float(1e-5, 1.0, log=True),
    )

    def objective(ask: Ask) -> float:
        kind = ask("optimizer", space["optimizer"])
        loss = {"sgd": 0.0, "adam": 0.3, "lion": 0.6}[kind]
        if kind == "sgd":
            loss += (ask("momentum", space["momentum"]) - 0.9) ** 2
        loss += 0.05 * abs(ask("layers", space["layers"]) - 4) + 0.1 * (ask("width", space["width"]) != 64)
        return float(loss + 0.1 * (math.log10(ask("lr", space["lr"])) + 3) ** 2)

    found = played(QUICK, objective, space, 40)
    drawn = played(Random(), objective, space, 160)
    assert best(found) < best(drawn)
    assert found.history.best is not None
    assert found.history.best.params["optimizer"] == "sgd"


def test_a_space_that_is_discovered_is_learned_too() -> None:
    def objective(ask: Ask) -> float:
        if ask("kind", Categorical(["a", "b"])) == "a":
            return float((ask("x", Float(0.0, 1.0)) - 0.3) ** 2)
        return float(1 + ask("y", Float(0.0, 1.0)))

    driver = played(QUICK, objective, None, 25)
    assert best(driver) < 1e-3
    assert all(("x" in params) == (params["kind"] == "a") for params in driver.params)


def test_a_parameter_asked_for_alone_fits_what_the_trial_has() -> None:
    """The optimum of y moves with x: given x, the model must answer with the y that belongs to it."""

    def objective(ask: Ask) -> float:
        x = ask("x", Float(0.0, 1.0))
        return float((ask("y", Float(0.0, 1.0)) - x) ** 2)

    driver = played(Random(), objective, None, 40)
    off = []
    for x in (0.1, 0.5, 0.9):
        answer = QUICK.suggest(driver.history, Space(y=Float(0.0, 1.0)), Stream(0, 40), {"x": x})
        off.append(abs(float(answer.params["y"]) - x))  # type: ignore[arg-type]
    assert max(off) < 0.25


def test_failing_configurations_are_avoided() -> None:
    def objective(ask: Ask) -> float:
        x, y = ask("x0", CUBE["x0"]), ask("x1", CUBE["x1"])
        if x > 0.5:
            raise Infeasible("out of memory")
        return float((x - 0.4) ** 2 + (y - 0.3) ** 2 + 0.3 * math.sin(9 * x) * math.sin(7 * y))

    space = Space(x0=CUBE["x0"], x1=CUBE["x1"])
    driver = played(GP(n_candidates=512, random_every=0), objective, space, 40)
    late = [driver.history[number] for number in range(20, 40)]
    failed = [record.params["x0"] for record in late if record.state is State.FAILED]
    assert len(failed) < 7
    assert sum(x > 0.6 for x in failed) <= 3  # by chance 8; the optimum lies at the border, where the others failed


def test_noise_does_not_make_it_repeat_a_lucky_point() -> None:
    draw = random.Random(0)
    driver = played(QUICK, lambda ask: branin(ask) / 50 + draw.gauss(0, 0.1), BRANIN, 40)
    assert len({tuple(params.values()) for params in driver.params}) == 40
    last = [
        Driver(QUICK, branin, space=BRANIN)._ask_all(driver.history, 0, params).value or 0.0
        for params in driver.params[-10:]
    ]
    assert np.median(last) < 15


# ------------------------------------------------------------------------------------------- a function of the history


def finished(values: list[float | None], cause: Cause = Cause.ERROR, first: int = 0) -> list[TrialRecord]:
    records = []
    for number, value in enumerate(values, start=first):
        params = {name: domain.decode(Stream(4, number).uniform(name)) for name, domain in CUBE.domains.items()}
        state = State.FAILED if value is None else State.COMPLETE
        results = None if value is None else (value,)
        domains = dict(CUBE.domains)
        records.append(
            TrialRecord(
                number=number, state=state, params=params, domains=domains, values=results,
                cause=cause if value is None else None,
            )
        )  # fmt: skip
    return records


def history(*deltas: list[TrialRecord]) -> History:
    built = History.empty(StudyRecord(name="s", space=CUBE.to_json()), CUBE)
    for revision, trials in enumerate(deltas, start=1):
        built = built.extend(Delta(revision=revision, trials=tuple(trials)))
    return built


def suggestion(built: History, number: int, sampler: GP = QUICK) -> dict:
    answer = sampler.suggest(built, built.space, Stream(1, number), {})
    assert isinstance(answer, Suggestion)
    return dict(answer.params)


def test_the_order_in_which_trials_finished_does_not_matter() -> None:
    records = finished([math.sin(3 * i) for i in range(24)])
    shuffled = records.copy()
    random.Random(0).shuffle(shuffled)
    assert suggestion(history(records), 24) == suggestion(history(shuffled), 24)


def test_a_reopened_study_gives_the_same_suggestion_as_one_that_went_on() -> None:
    from honed.samplers import surrogate

    steady = Driver(QUICK, hartmann, space=CUBE, seed=3)
    steady.run(27)
    reopened = Driver(QUICK, hartmann, space=CUBE, seed=3)
    reopened.deltas = list(steady.deltas)
    reopened.history = steady.history
    reopened.restart()
    steady.run(31)
    surrogate.memo.clear()  # as in another process
    reopened.run(31)
    assert steady.params == reopened.params


def test_workers_at_the_same_time_get_different_suggestions() -> None:
    driver = Driver(QUICK, hartmann, space=CUBE, seed=5)
    driver.run(12)
    for _ in range(20):  # more than are believed one by one
        driver.start()
    rows = np.array([[params[name] for name in CUBE.domains] for params in driver.params[12:]])
    apart = np.abs(rows[:, None] - rows[None]).max(axis=2) + np.eye(len(rows))
    assert apart.min() > 1e-6
    assert np.median(apart.min(axis=1)) > 0.02


def test_a_refused_proposal_is_followed_by_the_next_best() -> None:
    built = history(finished([math.sin(3 * i) for i in range(24)]))
    rng = Stream(1, 24)
    answers = []
    for _ in range(5):
        answers.append(tuple(QUICK.suggest(built, built.space, rng, {}).params.values()))
        rng = rng.again()
    assert len(set(answers)) == 5


@pytest.mark.parametrize(
    "values",
    [
        [],
        [1.0],
        [None] * 30,
        [2.0] * 30,
        [math.nan] * 30,
        [math.nan, math.inf, -math.inf, 1.0, 2.0, 3.0] * 5,
        [1e300, -1e300, 0.0, 1.0] * 5,
        [1.0, 1.0, 1.0, 1.0, 1.0 + 1e-15] * 5,
        [0.5] * 29 + [0.4],
    ],
    ids=["none", "one", "failed", "equal", "NaN", "infinite", "huge", "nearly equal", "one is better"],
)
@pytest.mark.parametrize("cause", [Cause.ERROR, Cause.OOM])
def test_histories_without_much_to_learn_are_survived(values: list[float | None], cause: Cause) -> None:
    built = history(finished(values, cause))
    params = suggestion(built, len(values))
    assert all(CUBE[name].contains(value) for name, value in params.items())


def test_many_trials_and_many_dimensions_use_a_trust_region_and_are_survived() -> None:
    many = history(finished([float(np.sin(i)) for i in range(1100)]))
    assert set(suggestion(many, 1100)) == set(CUBE.domains)
    wide = Space({f"x{i}": Float(0.0, 1.0) for i in range(25)}, b=Bool())

    def far(ask: Ask) -> float:
        return float(sum((ask(f"x{i}", wide[f"x{i}"]) - 0.3) ** 2 for i in range(25)) + ask("b", wide["b"]))

    assert best(played(QUICK, far, wide, 45)) < best(played(Random(), far, wide, 1000))


def test_fixed_parameters_stay_and_the_others_are_learned() -> None:
    driver = played(Fixed(QUICK, {"x": 3.0}), branin, BRANIN, 18)
    assert {params["x"] for params in driver.params} == {3.0}
    assert best(driver) < 2.5


def test_it_has_a_name() -> None:
    assert named("gp") == GP()


@pytest.mark.parametrize(("name", "value"), [("n_startup", -1), ("n_candidates", 0), ("random_every", -3)])
def test_settings_are_checked(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{name}={value}"):
        GP(**{name: value})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=name):
        GP(**{name: 1.5})  # type: ignore[arg-type]


def test_a_running_trial_is_not_suggested_again() -> None:
    records = finished([math.sin(3 * i) for i in range(24)])
    first = suggestion(history(records), 24)
    running = replace(records[0], number=24, state=State.RUNNING, params=first, values=None, attempt=1)
    second = suggestion(history([*records, running]), 25)
    assert second != first
