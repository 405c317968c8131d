"""TPE with several objectives and with constraints that trials measure: what is good there, and that it pays."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from honed.algorithms.hypervolume import hypervolume
from honed.beliefs import PRIOR
from honed.domains import Float, Ordinal, Scalar
from honed.history import History
from honed.records import CONSTRAINT, Delta, Direction, State, StudyRecord, TrialRecord
from honed.samplers.base import Sampler, Stream
from honed.samplers.random import Random
from honed.samplers.tpe import TPE
from honed.space import Space
from honed.testing.driver import Driver

CUBE = Space({f"x{i}": Float(0.0, 1.0) for i in range(4)})
Told = tuple[Sequence[float], Mapping[str, float]]
"""Values, and measured constraints that must not be above 0."""


def drive(
    sampler: Sampler,
    told: Callable[[list[float]], Told],
    n: int,
    seed: int = 0,
    directions: tuple[Direction, ...] = ("minimize",),
) -> History:
    """The history of a study in the cube."""
    driver = Driver(sampler, space=CUBE, seed=seed, directions=directions)
    for _ in range(n):
        record = driver.start()
        assert isinstance(record, TrialRecord)
        driver.started.pop(record.number)
        values, limits = told([float(str(value)) for value in record.params.values()])
        measured = {f"{CONSTRAINT}{name}": {"value": value, "max": 0.0} for name, value in limits.items()}
        driver.change(replace(record, state=State.COMPLETE, values=tuple(values), attributes=measured))
    return driver.history


def zdt1(x: Sequence[float], sign: float = 1.0) -> Told:
    """Zitzler, Deb, Thiele 2000; a front that only x1 = x2 = ... = 0 reaches."""
    g = 1.0 + 9.0 * sum(x[1:]) / (len(x) - 1)
    return (x[0], sign * g * (1.0 - math.sqrt(x[0] / g))), {}


def history_of(
    records: Sequence[TrialRecord], n_objectives: int = 1, attributes: Mapping[str, Any] | None = None
) -> History:
    """A study in the cube that has these trials."""
    down: Direction = "minimize"
    study = StudyRecord(
        name="cube", space=CUBE.to_json(), attributes=attributes or {}, directions=(down,) * n_objectives,
        metrics=tuple(f"value{i}" for i in range(n_objectives)),
    )  # fmt: skip
    return History.empty(study, CUBE).extend(Delta(revision=1, trials=tuple(records)))


def trial(number: int, told: Callable[[list[float]], Told]) -> TrialRecord:
    """A finished trial at a random point."""
    params: dict[str, Scalar] = {name: Stream(7, number).uniform(name) for name in CUBE.domains}
    values, limits = told([float(str(value)) for value in params.values()])
    measured = {f"{CONSTRAINT}{name}": {"value": value, "max": 0.0} for name, value in limits.items()}
    return TrialRecord(
        number=number, state=State.COMPLETE, params=params, domains=dict(CUBE.domains), values=tuple(values), attempt=1,
        attributes=measured,
    )  # fmt: skip


def suggestions(history: History, n: int = 40) -> np.ndarray[Any, np.dtype[np.float64]]:
    """[n, 4] many suggestions for one history."""
    answers = [TPE().suggest(history, history.space, Stream(0, 1_000 + k), {}).params for k in range(n)]
    return np.array([[float(str(value)) for value in params.values()] for params in answers])


class TestSeveralObjectives:
    @pytest.mark.parametrize("directions", [("minimize", "minimize"), ("minimize", "maximize")])
    def test_the_front_is_covered_better_than_at_random(self, directions: tuple[Direction, ...]) -> None:
        sign = 1.0 if directions[1] == "minimize" else -1.0

        def covered(sampler: Sampler, seed: int) -> float:
            history = drive(sampler, lambda x: zdt1(x, sign), 80, seed, directions)
            return hypervolume(history.columns.losses, np.array([1.1, 6.0]))

        found, plain = [covered(TPE(), seed) for seed in range(3)], [covered(Random(), seed) for seed in range(3)]
        assert min(found) > max(plain)

    def test_all_of_the_front_counts_not_only_the_best_of_the_first_objective(self) -> None:
        def valley(x: Sequence[float]) -> Told:
            return (4.0 * abs(x[0] - 0.5) + x[2], 4.0 * abs(x[0] - 0.5) + 1.0 - x[2]), {}

        points = suggestions(history_of([trial(n, valley) for n in range(200)], 2), 60)
        assert np.median(np.abs(points[:, 0] - 0.5)) < 0.1
        assert np.ptp(points[:, 2]) > 0.4
        assert points[:, 2].max() > 0.6  # the worst for the first one

    def test_the_order_of_finishing_does_not_matter(self) -> None:
        records = [trial(n, zdt1) for n in range(60)]
        forwards, backwards = history_of(records, 2), history_of(records[::-1], 2)
        np.testing.assert_array_equal(suggestions(forwards, 5), suggestions(backwards, 5))

    def test_values_that_are_missing_or_infinite_are_survived(self) -> None:
        for values in [(math.nan, 1.0), (1.0, math.nan), (1.0, math.inf), (math.inf, -math.inf)]:
            told = [trial(n, zdt1) for n in range(12)] + [replace(trial(n, zdt1), values=values) for n in range(12, 24)]
            assert len(suggestions(history_of(told, 2), 3)) == 3
            assert len(suggestions(history_of(told[12:], 2), 3)) == 3


def ball(x: Sequence[float]) -> Told:
    """Large sums are good, inside a ball that holds one point in fifty: best on its border, -1.095."""
    return (-sum(x),), {"radius": sum(v * v for v in x) - 0.3}


class TestConstraints:
    def test_more_trials_become_feasible_and_the_border_is_found(self) -> None:
        shares, found, plain = [], [], []
        for seed in range(3):
            history = drive(TPE(), ball, 80, seed)
            is_feasible = history.columns.violations == 0.0
            shares.append((is_feasible[:20].mean(), is_feasible[-30:].mean()))
            found.append(history.columns.losses[is_feasible, 0].min())
            others = drive(Random(), ball, 80, seed).columns
            plain.append(min(others.losses[others.violations == 0.0, 0], default=0.0))
        early, late = np.mean(shares, axis=0)
        assert late > max(0.3, early + 0.1)
        assert max(found) < -0.85
        assert np.mean(found) < np.mean(plain) - 0.1

    def test_a_constraint_that_all_trials_keep_changes_nothing(self) -> None:
        plain = [trial(n, lambda x: ((sum(x),), {})) for n in range(60)]
        kept = [trial(n, lambda x: ((sum(x),), {"memory": -x[0]})) for n in range(60)]
        np.testing.assert_array_equal(suggestions(history_of(plain)), suggestions(history_of(kept)))

    def test_trials_that_did_not_measure_it_say_nothing_about_it(self) -> None:
        told = [trial(n, lambda x: ((x[3],), {"latency": x[0] - 0.3})) for n in range(100)]
        told[::2] = [replace(record, attributes={}) for record in told[::2]]
        assert np.mean(suggestions(history_of(told))[:, 0] < 0.4) > 0.6

    def test_while_none_is_feasible_the_nearly_feasible_ones_attract(self) -> None:
        told = [trial(n, lambda x: ((x[1],), {"a": x[0] + 0.01, "b": x[1] + 0.01})) for n in range(60)]
        points = suggestions(history_of(told))
        assert np.median(points[:, 0]) < 0.25
        assert np.median(points[:, 1]) < 0.25

    def test_several_constraints_and_objectives_go_together(self) -> None:
        def told(x: Sequence[float]) -> Told:
            return zdt1(x)[0], {"low": 0.2 - x[0], "high": x[0] - 0.6}

        history = drive(TPE(), told, 80, directions=("minimize", "minimize"))
        late = history.columns.params[40:]
        assert np.mean((late[:, 0] > 0.2) & (late[:, 0] < 0.6)) > 0.6
        assert late[:, 1:].mean() < 0.35


class TestBeliefs:
    def test_candidates_are_weighed_by_what_the_user_believes(self) -> None:
        records = [trial(n, lambda _: ((1.0,), {})) for n in range(12)]
        belief = {"x0": {"type": "normal", "mean": 0.8, "sd": 0.05}}
        without, with_one = (
            suggestions(history_of(records)),
            suggestions(history_of(records, attributes={PRIOR: belief})),
        )
        assert np.mean(np.abs(with_one[:, 0] - 0.8)) < np.mean(np.abs(without[:, 0] - 0.8)) - 0.1

    def test_ordinals_are_weighed_by_their_choices(self) -> None:
        space = Space(batch=Ordinal([16, 32, 64, 128]), x=Float(0.0, 1.0))
        believing = StudyRecord(name="b", space=space.to_json(), attributes={PRIOR: {"batch": _weights(64)}})
        answers: dict[bool, list[Scalar]] = {}
        for study in (replace(believing, attributes={}), believing):
            records = [
                TrialRecord(
                    number=n, state=State.COMPLETE, domains=dict(space.domains), values=(Stream(3, n).uniform("v"),),
                    params={"batch": (16, 32, 64, 128)[n % 4], "x": Stream(3, n).uniform("x")}, attempt=1,
                )
                for n in range(12)
            ]  # fmt: skip
            history = History.empty(study, space).extend(Delta(revision=1, trials=tuple(records)))
            answers[study is believing] = [
                TPE().suggest(history, space, Stream(0, n), {}).params["batch"] for n in range(100, 140)
            ]
        assert answers[True].count(64) > answers[False].count(64) + 5


def _weights(label: int) -> dict[str, Any]:
    return {"type": "weights", "shares": [[16, 1.0], [32, 1.0], [label, 20.0], [128, 1.0]]}
