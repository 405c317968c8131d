"""What freeze-thaw does with histories written down, where the right answer is known."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest

from honed.algorithms.curve_ensemble import CurveEnsemble, NewScores
from honed.domains import Categorical, Float
from honed.freeze_thaw import FreezeThaw
from honed.freeze_thaw.budget import Budget, budget_of, first_slice, total_steps
from honed.freeze_thaw.model import model_of
from honed.freeze_thaw.seen import Seen, seen
from honed.history import Floats, History
from honed.records import Cause, Decision, Delta, Resume, Start, State, Suggestion, TrialRecord, Wait
from honed.samplers.base import Stream
from honed.space import Space
from tests.freeze_thaw.built import Curve, falling, history_of


@dataclass(frozen=True)
class Nowhere:
    """No new configurations."""

    def points(self, data: Seen, model: CurveEnsemble, draw: np.random.Generator) -> Floats:
        return data.xs[:0]

    def improved(self, data: Seen, model: CurveEnsemble, scores: NewScores, best: Floats) -> Floats:
        return best[:0]


PLAIN = FreezeThaw(insurance=0.0)
ONLY_PAUSED = FreezeThaw(insurance=0.0, candidates=Nowhere())


def eight(*, best: int = 3, n: int = 3) -> list[Curve]:
    """Eight paused trainings; ``best`` is far below the others."""
    return [Curve((i + 0.5) / 8, falling(0.1 if i == best else 0.6 + 0.02 * i, n)) for i in range(8)]


def test_the_first_trials_get_their_first_slice_only() -> None:
    history = history_of(Curve(0.5, falling(0.5, 3)))
    assert PLAIN.next(history) == Start(until=3)
    long = history_of(Curve(0.5, falling(0.5, 3), n_steps=1000))
    assert PLAIN.next(long) == Start(until=50)
    short = history_of(Curve(0.5, falling(0.5, 1), n_steps=2))
    assert PLAIN.next(short) == Start(until=None)


@pytest.mark.parametrize(("full", "first"), [(1, 1), (2, 2), (3, 3), (27, 3), (100, 5), (1000, 50)])
def test_the_first_slice_is_three_evaluations_or_a_twentieth(full: int, first: int) -> None:
    assert first_slice(full) == first


@pytest.mark.parametrize("in_turn", [False, True])
def test_a_clearly_better_paused_curve_goes_on(in_turn: bool) -> None:
    move = ONLY_PAUSED.next(history_of(*eight(), in_turn=in_turn))
    assert move == Resume(number=3, until=4)


def test_a_clearly_bad_curve_never_goes_on() -> None:
    curves = [replace(curve, values=falling(0.2 + 0.01 * i, 9)) for i, curve in enumerate(eight())]
    curves[5] = replace(curves[5], values=[5.0] * 9)
    for seed in range(3):
        move = ONLY_PAUSED.next(history_of(*curves, seed=seed))
        assert isinstance(move, Resume)
        assert move.number != 5


def test_slices_are_a_quarter_of_what_was_trained() -> None:
    for n, until in ((3, 4), (8, 10), (16, 20), (20, 25), (24, None)):
        history = history_of(*eight(n=n))
        assert ONLY_PAUSED.next(history) == Resume(number=3, until=until), n


def test_a_curve_that_falls_fast_overtakes_one_that_is_ahead() -> None:
    """Trained to the end, steep curves became the best: a steep one is worth more than a flat one that is ahead now."""
    steep = [1.0 / (step + 1) for step in range(1, 28)]
    flat = [0.4 - 0.001 * step for step in range(1, 28)]
    curves = [Curve(0.1 * i, [v + 0.01 * i for v in steep], State.COMPLETE) for i in range(3)]
    curves += [Curve(0.7 + 0.05 * i, [v + 0.01 * i for v in flat], State.COMPLETE) for i in range(3)]
    curves += [Curve(0.75, [v - 0.005 for v in flat[:4]]), Curve(0.05, [v - 0.005 for v in steep[:4]])]
    curves += [Curve(0.9, [0.9, 0.9, 0.9])]
    assert curves[6].values[-1] > curves[7].values[-1] - 0.2
    move = ONLY_PAUSED.next(history_of(*curves))
    assert isinstance(move, Resume)
    assert move.number == 7


def test_all_failed_begins_new_ones() -> None:
    curves = [Curve(0.1 * i, [], State.FAILED, cause=Cause.OOM) for i in range(9)]
    assert isinstance(PLAIN.next(history_of(*curves)), Start)


def test_all_equal_begins_new_ones_or_goes_on() -> None:
    history = history_of(*[Curve(0.1 * i, [1.0, 1.0, 1.0]) for i in range(9)])
    assert isinstance(PLAIN.next(history), Start)
    assert isinstance(PLAIN.next(history.limited(9)), Resume)


def test_curves_that_are_not_numbers_are_survived_and_left_alone() -> None:
    curves = eight()
    curves += [Curve(0.9, [math.nan] * 3), Curve(0.95, [0.01, math.inf, math.nan])]
    move = ONLY_PAUSED.next(history_of(*curves))
    assert isinstance(move, Resume)
    assert move.number == 3


def test_a_thousand_curves_are_survived() -> None:
    curves = [Curve((i * 0.618) % 1, falling(0.3 + 0.5 * ((i * 0.414) % 1), 3)) for i in range(999)]
    curves.insert(500, Curve(0.3333, falling(0.0, 3)))
    move = ONLY_PAUSED.next(history_of(*curves))
    assert isinstance(move, Resume)
    assert move.number == 500


def test_two_workers_never_get_the_same_trial() -> None:
    curves = eight()
    curves[3] = replace(curves[3], state=State.RUNNING, until=4)
    move = ONLY_PAUSED.next(history_of(*curves))
    assert isinstance(move, Resume)
    assert move.number != 3


def test_queued_trials_come_first() -> None:
    history = history_of(*eight(), Curve(0.2, [], State.WAITING))
    waiting = replace(history[8], attempt=0, reports=())
    history = history.extend(Delta(revision=2, trials=(waiting,)))
    assert PLAIN.next(history) == Resume(number=8, until=3)


def test_failures_of_a_region_keep_new_trials_away() -> None:
    """Everything above .5 ran out of memory, although curves get better towards it."""
    curves = [Curve(0.06 * i, falling(0.6 - 0.05 * i, 27), State.COMPLETE) for i in range(9)]
    curves += [Curve(0.5 + 0.05 * i, [], State.FAILED, cause=Cause.OOM) for i in range(1, 10)]
    history = history_of(*curves)
    for number in range(18, 28):
        answer = PLAIN.suggest(history, history.space, Stream(0, number), {})
        assert isinstance(answer.params["x"], float)
        assert answer.params["x"] < 0.56


def test_bugs_say_nothing_about_a_configuration() -> None:
    curves = [Curve(0.06 * i, falling(0.6 - 0.05 * i, 27), State.COMPLETE) for i in range(9)]
    broken = [Curve(0.5 + 0.05 * i, [], State.FAILED, cause=Cause.ERROR) for i in range(1, 10)]
    history = history_of(*curves, *broken)
    answers = [PLAIN.suggest(history, history.space, Stream(0, number), {}) for number in range(18, 28)]
    assert any(float(answer.params["x"]) > 0.56 for answer in answers if isinstance(answer.params["x"], float))


def test_new_trials_go_where_curves_are_good() -> None:
    curves = [Curve((i + 0.5) / 12, falling(abs((i + 0.5) / 12 - 0.3), 9), y=(5 * i % 12) / 12) for i in range(12)]
    history = history_of(*curves)
    xs = [PLAIN.suggest(history, history.space, Stream(0, number), {}).params["x"] for number in range(12, 17)]
    assert sum(abs(float(x) - 0.3) < 0.2 for x in xs if isinstance(x, float)) >= 4


def test_a_condition_is_followed() -> None:
    space = Space(kind=Categorical(["a", "b"]), x=Float(0.0, 1.0), y=Float(0.0, 1.0).when(kind="b"))
    history = history_of(*[Curve(0.1 * i, falling(0.1 * i, 5)) for i in range(9)], space=space)
    for number in range(9, 15):
        answer = PLAIN.suggest(history, space, Stream(0, number), {})
        assert ("y" in answer.params) == (answer.params["kind"] == "b")


def test_what_broke_a_limit_is_not_gone_on_with() -> None:
    history = history_of(*eight())
    limit = {"constraint:memory": {"value": 30.0, "max": 20.0}}
    heavy = replace(history[3], attributes=limit, reports=())
    assert heavy.violation > 0.0
    move = ONLY_PAUSED.next(history.extend(Delta(revision=2, trials=(heavy,))))
    assert isinstance(move, Resume)
    assert move.number != 3


def test_nothing_is_stopped_in_the_middle_of_a_slice() -> None:
    history = history_of(*eight())
    trial = replace(history[0], state=State.RUNNING)
    assert PLAIN.decide(history, trial) is Decision.CONTINUE


# ------------------------------------------------------------------------------------------------ before all is known


def test_before_the_length_is_known_trainings_go_to_their_end() -> None:
    empty = History.empty(history_of().study, history_of().space)
    assert PLAIN.next(empty) == Start(until=3)
    one = TrialRecord(number=0, state=State.RUNNING, params={"x": 0.1, "y": 0.2}, attempt=1, until=3)
    history = empty.extend(Delta(revision=1, trials=(one,)))
    assert PLAIN.next(history) == Start(until=None)
    paused = history.extend(Delta(revision=2, trials=(replace(one, state=State.PAUSED),)))
    assert PLAIN.next(paused) == Resume(number=0)


def test_objectives_without_reports_are_searched_by_their_values() -> None:
    curves = [Curve((i + 0.5) / 10, [abs((i + 0.5) / 10 - 0.7)], State.COMPLETE, n_steps=1) for i in range(10)]
    history = history_of(*curves)
    assert PLAIN.next(history) == Start(until=None)
    answer = PLAIN.suggest(history, history.space, Stream(0, 10), {})
    assert isinstance(answer, Suggestion)
    assert abs(float(str(answer.params["x"])) - 0.7) < 0.25


# --------------------------------------------------------------------------------------------------------- the budget


def test_a_study_spends_what_halving_would() -> None:
    assert total_steps(60, 3, 27) == round(60 * 3 * (1 + 2 * 2 / 3))
    assert total_steps(1, 3, 27) == 27


def test_steps_for_trials_to_come_are_not_spent_before() -> None:
    history = history_of(*eight()).limited(60)
    assert budget_of(history, 3, 27) == Budget(420, free=420 - 8 * 3 - 52 * 3, n_to_start=52, n_workers=1, full=27)
    assert budget_of(history_of(*eight()), 3, 27) is None


def test_all_trials_are_begun_before_the_last_steps_are_spent() -> None:
    curves = [replace(curve, values=falling(0.3, 20)) for curve in eight()]
    history = history_of(*curves).limited(12)  # 12 trials are worth 84 steps, and 160 are spent
    assert PLAIN.next(history) == Start(until=3)


def test_a_study_that_has_spent_all_is_over() -> None:
    curves = [replace(curve, values=falling(0.3, 20)) for curve in eight()]
    curves[0] = replace(curves[0], values=falling(0.3, 27), state=State.COMPLETE)
    assert isinstance(PLAIN.next(history_of(*curves).limited(8)), Start)  # which nobody may do


def test_the_best_is_trained_to_its_end_at_last() -> None:
    curves = [replace(curve, values=falling(0.3, 20)) for curve in eight()]
    curves[6] = replace(curves[6], values=falling(0.1, 20))
    assert PLAIN.next(history_of(*curves).limited(8)) == Resume(number=6, until=None)


def test_where_steps_are_limited_the_last_ones_go_to_the_best() -> None:
    curves = [replace(curve, values=falling(0.3, 10)) for curve in eight()]
    curves[6] = replace(curves[6], values=falling(0.1, 10))
    history = history_of(*curves)
    assert budget_of(history.limited(None, 90), 3, 27) == Budget(90, free=10, n_to_start=0, n_workers=1, full=27)
    assert PLAIN.next(history.limited(None, 86)) == Resume(number=6, until=16)


def test_without_anything_to_do_a_worker_waits() -> None:
    curves = [replace(curve, state=State.RUNNING, until=27) for curve in eight()]
    assert isinstance(PLAIN.next(history_of(*curves).limited(8)), Wait)


@pytest.mark.parametrize(
    "settings",
    [
        {"insurance": 1.0},
        {"insurance": -0.1},
        {"insurance": "much"},
        {"n_startup": 0},
        {"n_startup": 2.5},
        {"min_steps": 9, "max_steps": 3},
        {"min_steps": 0},
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError), match="FreezeThaw"):
        FreezeThaw(**settings)  # type: ignore[arg-type]


def test_luck_is_no_record_to_beat() -> None:
    """Where values are noisy, the best one is lower than what any curve is at."""
    draw = np.random.default_rng(0)
    curves = [Curve((i + 0.5) / 16, [0.5 + 0.1 * v for v in draw.standard_normal(9)]) for i in range(16)]
    data = seen(history_of(*curves), None)
    model = model_of(data)
    assert model is not None
    for member in model.members:
        seen_best = float(member.warp.apply(np.array([data.losses.min()]))[0])
        assert member.best > seen_best + 0.05
    smooth = seen(history_of(*eight(n=9)), None)
    exact = model_of(smooth)
    assert exact is not None
    for member in exact.members:
        assert member.best == pytest.approx(float(member.warp.apply(np.array([smooth.losses.min()]))[0]), abs=0.15)


def test_the_luckiest_of_thousands_of_reports_is_no_record_to_beat() -> None:
    """Reported per batch: the lowest of 4,000 values lies 3.5 standard deviations below the best curve."""
    draw = np.random.default_rng(0)
    levels = [0.5 + 0.1 * i for i in range(10)]
    curves = [
        Curve((i + 0.5) / 10, (x + 0.2 * draw.standard_normal(400)).tolist(), n_steps=800) for i, x in enumerate(levels)
    ]
    data = seen(history_of(*curves), None)
    assert data.is_averaged
    assert data.reported.min() < 0.5 - 0.5
    model = model_of(data)
    assert model is not None
    for member in model.members:
        assert member.best > float(member.warp.apply(np.array([0.3]))[0])
    assert ONLY_PAUSED.next(history_of(*curves)) == Resume(number=0, until=500)


def test_smooth_curves_are_seen_as_they_were_reported() -> None:
    data = seen(history_of(*[Curve(c.x, falling(0.1 * i, 400), n_steps=800) for i, c in enumerate(eight())]), None)
    assert not data.is_averaged
    assert data.losses is data.reported
    assert data.places.tolist() == data.steps.tolist()
