"""TPE: what it learns from, what it leaves alone, and where it must be better than random search."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from honed.domains import Categorical, Float, Int, Ordinal, Scalar
from honed.history import History
from honed.records import Cause, Delta, Exhausted, Report, State, StudyRecord, Suggestion, TrialRecord
from honed.samplers.base import Sampler, Stream
from honed.samplers.combine import Fixed, fit_for_use
from honed.samplers.quasirandom import Sobol
from honed.samplers.random import Random
from honed.samplers.tpe import TPE
from honed.space import Space
from honed.testing.driver import Ask, Driver

PLANE = Space(x=Float(0.0, 1.0), y=Float(0.0, 1.0))
BRANCHES = Space(
    lr=Float(1e-5, 1.0, log=True),
    optimizer=Categorical(["sgd", "adam", "rms"]),
    momentum=Float(0.0, 0.99).when(optimizer="sgd"),
    beta=Float(0.5, 0.99).when(optimizer="adam"),
    layers=Int(1, 8),
    act=Categorical(["relu", "gelu", "tanh", "elu"]),
    batch=Ordinal([16, 32, 64, 128, 256]),
)


def branches(params: Mapping[str, Any]) -> float:
    """Best at 0: Adam, lr 1e-3, beta 0.8, three layers, gelu, batches of 64."""
    loss = {"sgd": 0.4, "adam": 0.0, "rms": 1.0}[params["optimizer"]]
    loss += (math.log10(params["lr"]) + (1 if params["optimizer"] == "sgd" else 3)) ** 2
    loss += 4 * (params.get("momentum", 0.9) - 0.9) ** 2 + 4 * (params.get("beta", 0.8) - 0.8) ** 2
    loss += 0.1 * (params["layers"] - 3) ** 2 + (params["act"] != "gelu") * 0.3
    return float(loss + 0.1 * abs(math.log2(params["batch"]) - 6))


def sphere(params: Mapping[str, Any]) -> float:
    """Best at 0.3 everywhere."""
    return float(sum((value - 0.3) ** 2 for value in params.values()))


def best_of(sampler: Sampler, space: Space, loss: Callable[[Mapping[str, Any]], float], seed: int, n: int) -> float:
    """The lowest loss of a study."""
    driver = Driver(sampler, space=space, seed=seed)
    while len(driver.history) < n:
        record = driver.start()
        assert isinstance(record, TrialRecord)
        driver.started[record.number].value = loss(record.params)
        driver.finish(record.number)
    assert driver.history.best is not None
    return float(driver.history.best.value or 0.0)


def trial(number: int, value: float | None = None, **fields: Any) -> TrialRecord:
    """A trial in the plane: finished with a value, or as the fields say."""
    rng = Stream(1, number)
    params = fields.pop("params", {name: rng.uniform(name) for name in PLANE.domains})
    state = fields.pop("state", State.COMPLETE)
    values = None if value is None else (value,)
    return TrialRecord(
        number=number, state=state, params=params, domains=dict(PLANE.domains), values=values, attempt=1, **fields
    )


def history_of(*trials: TrialRecord, reports: tuple[Report, ...] = (), seed: int = 0) -> History:
    """A study in the plane that has these trials."""
    study = StudyRecord(name="plane", seed=seed, space=PLANE.to_json())
    return History.empty(study, PLANE).extend(Delta(revision=1, trials=trials, reports=reports))


def suggested(history: History, number: int = 1_000, **settings: Any) -> dict[str, Scalar]:
    """The params that TPE suggests."""
    answer = TPE(**settings).suggest(history, history.space, Stream(0, number), {})
    return dict(answer.params)


def spread_of(history: History, **settings: Any) -> list[tuple[float, float]]:
    """Many suggestions for one history."""
    answers = [suggested(history, number, **settings) for number in range(1_000, 1_060)]
    return [(float(a["x"]), float(a["y"])) for a in answers]  # type: ignore[arg-type]


class TestSearch:
    def test_the_first_trials_are_sobol_points(self) -> None:
        learning, plain = Driver(TPE(), space=PLANE, seed=3), Driver(Sobol(), space=PLANE, seed=3)
        learning.run(12)
        plain.run(12)
        assert learning.params[:10] == plain.params[:10]
        assert learning.params[10] != plain.params[10]

    def test_a_smooth_bowl_is_searched_better_than_at_random(self) -> None:
        space = Space({f"x{i}": Float(0.0, 1.0) for i in range(6)})
        found = [best_of(TPE(), space, sphere, seed, 80) for seed in range(5)]
        plain = [best_of(Random(), space, sphere, seed, 80) for seed in range(5)]
        assert np.median(found) < 0.5 * np.median(plain)

    def test_branches_and_choices_are_searched_better_than_at_random(self) -> None:
        found = [best_of(TPE(), BRANCHES, branches, seed, 60) for seed in range(7)]
        plain = [best_of(Random(), BRANCHES, branches, seed, 60) for seed in range(7)]
        assert np.mean(found) < 0.75 * np.mean(plain)

    def test_discovered_branches_are_learned_too(self) -> None:
        def objective(ask: Ask) -> float:
            if ask("kind", Categorical(["flat", "deep"])) == "flat":
                return 1.0 + float(ask("width", Float(0.0, 1.0)))
            return sum((float(ask(f"x{i}", Float(0.0, 1.0))) - 0.7) ** 2 for i in range(3))

        def best(sampler: Sampler, seed: int) -> float:
            driver = Driver(sampler, objective, seed=seed)
            driver.run(60)
            assert driver.history.best is not None
            return float(driver.history.best.value or 0.0)

        found, plain = [best(TPE(), seed) for seed in range(7)], [best(Random(), seed) for seed in range(7)]
        assert np.median(found) < 0.7 * np.median(plain)

    def test_the_direction_of_the_study_is_followed(self) -> None:
        driver = Driver(TPE(), lambda ask: -((float(ask("x", Float(0.0, 1.0))) - 0.9) ** 2), directions=("maximize",))
        driver.run(60)
        late = [params["x"] for params in driver.params[30:]]
        assert np.median(late) == pytest.approx(0.9, abs=0.15)

    def test_a_parameter_asked_alone_follows_what_the_trial_has(self) -> None:
        def objective(ask: Ask) -> float:
            kind = ask("kind", Categorical(["low", "high"]))
            return abs(float(ask("x", Float(0.0, 1.0))) - (0.1 if kind == "low" else 0.9))

        driver = Driver(Random(), objective, seed=5)
        driver.run(60)
        alone = Space(x=Float(0.0, 1.0))
        for kind, where in (("low", 0.1), ("high", 0.9)):
            given = {"kind": kind}
            answers = [TPE().suggest(driver.history, alone, Stream(5, n), given).params["x"] for n in range(200, 240)]
            assert np.median(np.array(answers, dtype=float)) == pytest.approx(where, abs=0.25), kind
        fixed = Fixed(TPE(), {"kind": "high"})
        answer = fixed.suggest(driver.history, driver.history.space, Stream(5, 300), {})
        assert isinstance(answer, Suggestion)
        assert answer.params["kind"] == "high"


class TestEvidence:
    def test_the_order_of_finishing_does_not_matter(self) -> None:
        trials = [trial(n, math.sin(7.0 * n)) for n in range(300)]
        expected = suggested(history_of(*trials))
        for seed in range(4):
            shuffled = random.Random(seed).sample(trials, len(trials))
            assert suggested(history_of(*shuffled)) == expected
        many = history_of()
        for position, record in enumerate(shuffled):
            many = many.extend(Delta(revision=position + 2, trials=(record,)))
            if position % 50 == 17:
                suggested(many)
        assert suggested(many) == expected

    def test_running_and_failed_configurations_repel(self) -> None:
        done = [trial(n, sphere(trial(n).params)) for n in range(40)]
        leader = min(done, key=lambda record: record.values or (9.0,)).params
        crowd = [{name: float(value) + 0.01 * k for name, value in leader.items()} for k in range(-4, 5)]
        running = [trial(40 + i, params=p, state=State.RUNNING) for i, p in enumerate(crowd)]
        failed = [replace(record, state=State.FAILED, cause=Cause.INFEASIBLE) for record in running]
        lost = [replace(record, state=State.FAILED, cause=Cause.LOST) for record in running]

        def distance(history: History) -> float:
            points = np.array(spread_of(history)) - np.array([leader["x"], leader["y"]])
            return float(np.median(np.linalg.norm(points, axis=1)))

        before = distance(history_of(*done))
        assert distance(history_of(*done, *running)) > before
        assert distance(history_of(*done, *failed)) > before
        assert distance(history_of(*done, *lost)) == before

    def test_paused_trials_stand_by_their_last_report(self) -> None:
        done = [trial(n, 1.0 + n) for n in range(20)]
        paused = trial(20, state=State.PAUSED, params={"x": 0.97, "y": 0.03})
        waiting = history_of(*done, paused)
        reported = history_of(*done, paused, reports=(Report(20, 1, {"value": 9.0}), Report(20, 2, {"value": 0.1})))
        near = [sum(x > 0.8 and y < 0.2 for x, y in spread_of(h, good_share=0.05)) for h in (waiting, reported)]
        assert near[1] > near[0] + 10
        stopped = trial(20, 0.1, state=State.STOPPED, params={"x": 0.97, "y": 0.03})
        assert suggested(history_of(*done, stopped)) == suggested(reported)

    @pytest.mark.parametrize("values", [[1.0] * 30, [math.nan] * 30, [math.inf] * 30, [1.0]], ids=str)
    def test_values_that_say_nothing_spread_the_trials(self, values: list[float]) -> None:
        history = history_of(*(trial(n, value) for n, value in enumerate(values)))
        points = np.array(spread_of(history, n_startup=1))
        assert (np.ptp(points, axis=0) > 0.3).all()

    def test_ten_thousand_trials_are_searched(self) -> None:
        trials = [trial(n) for n in range(10_000)]
        history = history_of(*(replace(record, values=(sphere(record.params),)) for record in trials))
        points = np.array(spread_of(history))
        assert np.median(np.abs(points - 0.3)) < 0.1


class TestFiniteSpaces:
    def test_eight_workers_use_them_up_exactly(self) -> None:
        space = Space(a=Int(0, 4), b=Categorical(["x", "y", "z"]), c=Ordinal([1, 2, 4]).when(b="y"))
        for seed in range(3):
            driver, choose = Driver(fit_for_use(TPE(n_startup=5)), space=space, seed=seed), random.Random(seed)
            while True:
                answer = driver.start() if len(driver.started) < 8 else None
                if isinstance(answer, Exhausted) and not driver.started:
                    break
                if not isinstance(answer, TrialRecord):
                    number = choose.choice(list(driver.started))
                    driver.started[number].value = float(driver.started[number].params["a"] or 0)
                    driver.finish(number)
            assert len({tuple(sorted(params.items())) for params in driver.params}) == len(driver.history) == 25

    def test_it_proposes_what_was_not_tried_by_itself(self) -> None:
        space = Space({name: Int(0, 9) for name in "abc"})
        driver = Driver(TPE(), lambda ask: sum((ask(name, Int(0, 9)) - 4) ** 2 for name in "abc"), space=space)
        driver.run(100)
        assert len({tuple(params.values()) for params in driver.params}) > 97


class TestSettings:
    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"n_startup": 0}, "n_startup=0 must be a whole number of at least 1"),
            ({"n_candidates": True}, "n_candidates=True"),
            ({"n_bad": 1.5}, "n_bad=1.5"),
            ({"good_share": 1.0}, "good_share=1.0 must lie between 0 and 1"),
            ({"prior_weight": 0.0}, "prior_weight=0.0 must be above 0"),
        ],
    )
    def test_wrong_ones_are_named(self, settings: dict[str, Any], words: str) -> None:
        with pytest.raises(ValueError, match=words):
            TPE(**settings)
