"""What the model says to people: values in the user's direction, the order of promise, what going on would bring."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from honed.freeze_thaw.insight import Insight
from honed.history import History
from honed.records import Delta, Report, State, StudyRecord
from tests.freeze_thaw.built import SPACE, Curve, falling, history_of

PLACES = [round(float(x), 3) for x in np.random.default_rng(3).random(24)]


def bowl(state: State = State.PAUSED, n: int = 5) -> list[Curve]:
    return [Curve(x, falling((x - 0.4) ** 2, n), state, y=1.0 - x) for x in PLACES]


def turned(history: History) -> History:
    """The same study, in which larger is better."""
    study = replace(history.study, directions=("maximize",))
    records = tuple(replace(r, reports=(), values=r.values and (-r.values[0],)) for r in history)
    reports = [Report(r.number, e.step, {"value": -e.values["value"]}) for r in history for e in r.reports]
    return History.empty(study, SPACE).extend(Delta(revision=1, trials=records, reports=tuple(reports)))


def insight(history: History) -> Insight:
    found = Insight.of(history)
    assert found is not None
    return found


def test_values_turn_with_the_direction() -> None:
    history, numbers = history_of(*bowl()), np.arange(6)
    down, up = insight(history), insight(turned(history))
    one, other = down.finals(numbers), up.finals(numbers)
    assert np.allclose(one.median, -other.median)
    assert np.allclose(one.low, -other.high)
    assert np.allclose(down.chances(numbers), up.chances(numbers))
    assert down.ranked().tolist() == up.ranked().tolist()
    assert down.gain().chance == up.gain().chance


def test_the_most_promising_trial_lies_near_the_optimum_and_its_chance_is_higher() -> None:
    found = insight(history_of(*bowl()))
    ranked = found.ranked().tolist()
    assert len(ranked) == len(PLACES)
    assert abs(PLACES[ranked[0]] - 0.4) < 0.2 < abs(PLACES[ranked[-1]] - 0.4)
    chances = found.chances(np.array([ranked[0], ranked[-1]]))
    assert chances[0] > chances[1]
    assert 0.0 <= chances[1] <= chances[0] <= 1.0


def test_a_flat_end_promises_nothing_and_a_falling_one_does() -> None:
    done = [Curve(x, falling((x - 0.4) ** 2, 27), State.COMPLETE) for x in [*PLACES, 0.4, 0.401]]
    early = [Curve(x, falling((x - 0.4) ** 2, 6)) for x in PLACES]
    far = [Curve(x, falling((x - 0.4) ** 2, 27), State.COMPLETE) for x in (0.05, 0.7, 0.9)]
    over, open_ = insight(history_of(*done)).gain(), insight(history_of(*early, *far)).gain()
    assert over.chance < 0.5 * open_.chance
    assert over.gain < open_.gain
    assert over.n_steps == 27


def test_what_the_user_tolerates_counts_for_nothing() -> None:
    found = insight(history_of(*bowl()))
    assert found.gain(tolerance=0.5).chance == 0.0
    assert found.gain(tolerance=0.5).margin == 0.5
    assert found.gain().margin < 0.5


def test_no_gain_is_larger_than_what_lies_between_the_best_trials() -> None:
    """One diverging trial makes the unit of the warps huge."""
    curves = [Curve(x, falling((x - 0.4) ** 2, 27 if n < 4 else 5)) for n, x in enumerate(PLACES)]
    huge = [Curve(0.01 * n, [1e12] * 5) for n in range(1, 5)]
    found = insight(history_of(*curves, *huge))
    assert found.gain().gain < 0.2
    assert found.gain().margin < 0.2
    assert found.finals(np.arange(len(PLACES))).high.max() < 3.0


@pytest.mark.parametrize("n", [0, 1, 3])
def test_too_few_curves_say_nothing(n: int) -> None:
    assert Insight.of(history_of(*bowl()[:n])) is None


def test_folds_several_objectives_and_single_values_have_no_curves() -> None:
    history = history_of(*bowl())
    records = tuple(replace(r, reports=()) for r in history)
    for study in (
        replace(history.study, summary="mean"),
        replace(history.study, directions=("minimize",) * 2, metrics=("value", "b")),
    ):
        again = History.empty(study, SPACE).extend(Delta(revision=1, trials=records))
        assert Insight.of(again) is None
    single = history_of(*(Curve(x, [x], State.COMPLETE) for x in PLACES))
    assert Insight.of(single) is None
    assert Insight.of(History.empty(StudyRecord(name="empty"))) is None


def test_diverged_and_equal_curves_are_survived() -> None:
    broken = [Curve(x, [1.0, math.nan], State.FAILED) for x in PLACES[:4]]
    found = insight(history_of(*bowl(), *broken))
    assert np.isfinite(found.finals(np.arange(len(PLACES))).median).all()
    assert Insight.of(history_of(*(Curve(x, [1.0] * 6) for x in PLACES))) is None


def test_a_loss_is_not_expected_below_zero_nor_an_accuracy_above_one() -> None:
    curves = [Curve(x, falling((x - 0.4) ** 2 / 10, 27 if n < 4 else 5)) for n, x in enumerate(PLACES)]
    history, numbers = history_of(*curves), np.arange(len(PLACES))
    assert insight(history).finals(numbers).low.min() >= 0.0
    records = tuple(replace(r, reports=()) for r in history)
    reports = [Report(r.number, e.step, {"value": 1.0 - e.values["value"]}) for r in history for e in r.reports]
    study = replace(history.study, directions=("maximize",))
    shares = History.empty(study, SPACE).extend(Delta(revision=1, trials=records, reports=tuple(reports)))
    assert insight(shares).finals(numbers).high.max() <= 1.0
