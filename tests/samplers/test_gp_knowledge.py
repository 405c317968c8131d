"""What a Gaussian process uses beside final values: measured constraints, short trainings, beliefs and past studies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from honed.beliefs import Normal, checked_prior
from honed.domains import Float, Int
from honed.history import History
from honed.records import CONSTRAINT, Delta, Report, State, StudyRecord, Suggestion, TrialRecord
from honed.samplers.base import Sampler, Stream
from honed.samplers.combine import fit_for_use
from honed.samplers.finals import finals
from honed.samplers.gp import GP
from honed.samplers.random import Random
from honed.samplers.surrogate import data_of
from honed.samplers.transfer import weights
from honed.space import Space
from honed.transfer import gathered

QUICK = GP(n_candidates=256)
SQUARE = Space(x=Float(0.0, 1.0), y=Float(0.0, 1.0))
Params = Mapping[str, Any]


class Study:
    """A history that grows by what an objective and limits say of a sampler's suggestions."""

    def __init__(self, space: Space = SQUARE, seed: int = 0, **attributes: Any) -> None:
        self.space = space
        record = StudyRecord(name="s", seed=seed, space=space.to_json(), attributes=attributes)
        self.history = History.empty(record, space)

    def add(self, params: Params, value: float | None, **more: Any) -> None:
        state = more.pop("state", State.COMPLETE)
        curve = more.pop("curve", ())
        number = len(self.history)
        record = TrialRecord(
            number=number, state=state, params=dict(params), domains=dict(self.space.domains),
            values=None if value is None else (value,), attempt=1, **more,
        )  # fmt: skip
        reports = tuple(Report(number, step, {"value": loss}) for step, loss in enumerate(curve, start=1))
        if curve and state.is_finished:  # reports come while a trial runs
            running = replace(record, state=State.RUNNING, values=None)
            self.change(running, reports)
            reports = ()
        self.change(record, reports)

    def change(self, record: TrialRecord, reports: tuple[Report, ...]) -> None:
        self.history = self.history.extend(Delta(revision=self.history.revision + 1, trials=(record,), reports=reports))

    def suggested(self, sampler: Sampler = QUICK) -> Params:
        number = len(self.history)
        answer = sampler.suggest(self.history, self.space, Stream(self.history.study.seed, number), {})
        assert isinstance(answer, Suggestion)
        return answer.params

    def run(self, objective: Callable[[Params], float], n: int, sampler: Sampler = QUICK) -> Study:
        while len(self.history) < n:
            params = self.suggested(sampler)
            self.add(params, objective(params))
        return self

    @property
    def values(self) -> list[float]:
        return [record.values[0] for record in self.history if record.values is not None]


# -------------------------------------------------------------------------------------------------------- constraints


def limited(n: int, seed: int, sampler: Sampler) -> Study:
    """The best, at (1, 1), is forbidden: x * y may be .25 at most, x must be .6 at least; half of the trials measure y, too."""
    study = Study(seed=seed)
    for i in range(n):
        p = study.suggested(sampler)
        limits = {f"{CONSTRAINT}xy": {"value": p["x"] * p["y"], "max": 0.25}}
        limits[f"{CONSTRAINT}x"] = {"value": p["x"], "min": 0.6}
        if i % 2:
            limits[f"{CONSTRAINT}y"] = {"value": p["y"], "max": 0.9}
        study.add(p, (p["x"] - 1.0) ** 2 + (p["y"] - 1.0) ** 2, attributes=limits)
    return study


def best_allowed(study: Study) -> float:
    """The optimum is near .5, where x y = .25 and x = .6."""
    return min((r.values[0] for r in study.history if r.violation == 0 and r.values is not None), default=2.0)


def test_an_optimum_on_the_border_of_what_is_allowed_is_found_there() -> None:
    found = [best_allowed(limited(30, seed, QUICK)) for seed in range(2)]
    drawn = [best_allowed(limited(120, seed, Random())) for seed in range(2)]
    assert max(found) < 0.51  # the optimum is .5
    assert np.mean(found) < np.mean(drawn)


def test_allowed_trials_are_more_than_twice_as_frequent_as_by_chance() -> None:
    late = [record.violation == 0 for seed in (3, 4) for record in list(limited(30, seed, QUICK).history)[12:]]
    by_chance = 0.25 * np.log(1.0 / 0.6)  # the area that is allowed
    assert np.mean(late) > 2.0 * by_chance


def test_while_nothing_is_allowed_it_searches_for_what_is() -> None:
    """One part in a hundred of the square is allowed, and losses pull the other way."""
    study = Study(seed=1)
    for _ in range(30):
        p = study.suggested()
        distance = max(abs(p["x"] - 0.85), abs(p["y"] - 0.15))
        limits = {f"{CONSTRAINT}far": {"value": distance, "max": 0.05}}
        study.add(p, p["x"] - p["y"], attributes=limits)
    assert any(record.violation == 0 for record in study.history)


# --------------------------------------------------------------------------------------------------- short trainings


def curve(end: float, n: int) -> list[float]:
    return [end + 1.0 / step for step in range(1, n + 1)]


def with_short_ones() -> Study:
    study = Study()
    draw = np.random.default_rng(0)
    for i in range(8):
        x, y = draw.random(2)
        study.add({"x": x, "y": y}, x + 0.1, curve=curve(x, 10))
        study.add({"x": y, "y": x}, y + 0.5, curve=curve(y, 2), state=State.STOPPED if i % 2 else State.PAUSED)
    return study


def test_short_trainings_count_for_what_they_would_have_reached() -> None:
    study = with_short_ones()
    history = study.history
    ends = finals(history)
    assert len(ends.paused) == 4
    for losses, records in ((ends.losses, history.finished), (ends.paused_losses, ends.paused)):
        expected = [record.params["x"] + 0.1 for record in records]
        assert losses == pytest.approx(expected, abs=1e-9)
    data = data_of(history, Stream(0, len(history)))
    assert data.y == pytest.approx([r.params["x"] + 0.1 for r in history], abs=1e-9)
    assert not data.pending


def test_a_study_of_full_trainings_is_taken_as_measured() -> None:
    study = Study()
    for x in (0.1, 0.5, 0.9):
        study.add({"x": x, "y": 0.5}, x, curve=curve(x, 4))
    ends = finals(study.history)
    assert ends.losses.tolist() == [0.1, 0.5, 0.9]
    assert not ends.spreads.any()
    assert not ends.paused


def test_a_stopped_training_that_reported_only_nan_has_no_final_value() -> None:
    study = Study()
    study.add({"x": 0.3, "y": 0.5}, 0.3, curve=[np.nan, np.nan], state=State.STOPPED)
    study.add({"x": 0.1, "y": 0.5}, 0.1, curve=[np.nan])
    ends = finals(study.history)
    assert ends.losses.tolist() == [0.3, 0.1]
    assert not ends.spreads.any()


def test_losses_at_the_end_of_what_floats_hold_are_limited() -> None:
    study = Study()
    for x in (0.1, 0.5, 0.9):
        study.add({"x": x, "y": 0.5}, x, curve=[1e308, x])
    study.add({"x": 0.3, "y": 0.5}, -1.7e308, curve=[1.7e308, -1.7e308], state=State.STOPPED)
    study.add({"x": 0.4, "y": 0.5}, np.inf, curve=[np.inf])
    ends = finals(study.history)
    assert np.isfinite(ends.losses[:4]).all()
    assert ends.losses[4] == np.inf
    assert np.isfinite(ends.spreads).all()


def test_good_configurations_that_were_stopped_early_are_not_taken_for_bad_ones() -> None:
    """All with x < .5 were stopped early, where values look worse: the best lies there nevertheless."""
    study = Study()
    draw = np.random.default_rng(1)
    for _ in range(24):
        x, y = draw.random(2)
        length, state = (2, State.STOPPED) if x < 0.4 else (10, State.COMPLETE)
        losses = curve((x - 0.15) ** 2 + 0.3 * (y - 0.5) ** 2, length)
        study.add({"x": x, "y": y}, losses[-1], curve=losses, state=state)
    assert study.suggested()["x"] < 0.4
    changed = study.suggested(GP(n_candidates=256, random_every=0))
    assert changed["x"] < 0.4


# ---------------------------------------------------------------------------------------------- beliefs, past studies


CUBE = Space({f"x{i}": Float(0.0, 1.0) for i in range(4)})


def valley(params: Params, shift: float = 0.0, sign: float = 1.0) -> float:
    x = np.array([params[f"x{i}"] for i in range(4)]) - np.array([0.3, 0.7, 0.4, 0.6]) - shift
    return float(sign * ((x**2 * np.array([1.0, 3.0, 0.3, 2.0])).sum() + 0.1 * np.sin(12 * x[0] + 3 * x[1])))


def past(sign: float, seed: int) -> list[Any]:
    study = Study(CUBE, 100 + seed).run(lambda params: valley(params, 0.05, sign), 40, Random())
    return [gathered(study.history, "past")]


def means_so_far(seeds: int, n: int, sign: float | None = None) -> np.ndarray:
    """The mean best values so far [n], of studies with a past one of that sign or none."""
    curves = []
    for seed in range(seeds):
        attributes = {} if sign is None else {"sources": past(sign, seed)}
        study = Study(CUBE, seed, **attributes).run(valley, n, fit_for_use(QUICK))
        curves.append(np.minimum.accumulate(study.values))
    return np.asarray(np.mean(curves, axis=0))


def test_a_related_past_study_helps_and_an_unlike_one_costs_little() -> None:
    plain, helped, misled = means_so_far(10, 12), means_so_far(10, 8, 1.0), means_so_far(10, 12, -1.0)
    usual = float(
        np.median([valley({f"x{i}": u for i, u in enumerate(x)}) for x in np.random.default_rng(0).random((500, 4))])
    )
    best = min(plain.min(), helped.min(), misled.min())
    assert helped[7] - best < 0.5 * (plain[7] - best)
    assert misled[11] - plain[11] < 0.1 * (usual - best)


def test_the_weights_of_past_studies_are_told() -> None:
    related = Study(CUBE, 3, sources=past(1.0, 3)).run(valley, 9, fit_for_use(QUICK)).history
    unlike = Study(CUBE, 3, sources=past(-1.0, 3)).run(valley, 9, fit_for_use(QUICK)).history
    assert weights(related)["past"] > 0.2
    assert weights(unlike) == {"past": 0.0}
    assert weights(Study(CUBE).history) == {}


def test_a_belief_draws_suggestions_towards_it_and_fades() -> None:
    def suggested(n: int, optimum: float, **beliefs: Any) -> float:
        study = Study(SQUARE, 2, prior=checked_prior(beliefs, SQUARE.domains))
        for x, y in np.random.default_rng(n).random((n, 2)).tolist():
            study.add({"x": x, "y": y}, (y - 0.5) ** 2 + optimum * (x - 0.2) ** 2)
        return float(study.suggested()["x"])

    belief = {"x": Normal(0.95, 0.02)}
    assert abs(suggested(10, 0.1, **belief) - 0.95) < 0.1 < abs(suggested(10, 0.1) - 0.95)  # x matters little
    assert suggested(60, 1.0, **belief) == pytest.approx(0.2, abs=0.2)  # x does, and 60 trials say how


def test_whole_numbers_with_many_values_are_searched_on_their_grid() -> None:
    space = Space(n=Int(1, 200), m=Int(1, 40))
    study = Study(space, 4).run(lambda p: float((p["n"] - 137) ** 2 / 500 + abs(p["m"] - 11)), 28)
    assert min(study.values) <= 1.0
    assert len({tuple(record.params.values()) for record in study.history}) == 28
