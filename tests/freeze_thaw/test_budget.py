"""Steps, trials and time as one budget; how long slices are, and which of equals goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from honed.costs import Costs, costs_of
from honed.freeze_thaw.budget import budget_of
from honed.freeze_thaw.seen import Seen, seen
from honed.freeze_thaw.slices import horizons, last_chance, least, next_slice, picked
from honed.history import Allowance, History
from honed.records import Delta, Resume, State
from tests.freeze_thaw.built import Curve, falling, history_of

FREE = Costs(step_seconds=None, pause_seconds=None, seconds=0.0, by_trial={})


def paused(*lengths: int, notes: Mapping[int, Mapping[str, Any]] | None = None, **allowance: Any) -> History:
    """Trials of 27 steps, paused after these; each took two seconds a step, or what its note says."""
    history = history_of(*(Curve((i + 0.5) / 9, falling(0.1 * i, n)) for i, n in enumerate(lengths)))
    records = []
    for record, n in zip(history, lengths, strict=True):
        times = {"seconds": 2.0 * n, "step_seconds": 2.0, **(notes or {}).get(record.number, {})}
        worker = times.pop("worker", "near:1:a")
        records.append(replace(record, reports=(), note={**record.note, **times}, worker=worker))
    return history.extend(Delta(revision=2, trials=tuple(records))).allowed(Allowance(**allowance))


def known(history: History) -> tuple[Seen, Costs]:
    return seen(history, None), costs_of(history)


# --------------------------------------------------------------------------------------------------------- the budget


def test_time_is_worth_steps() -> None:
    budget = budget_of(paused(10, 5, run_seconds=200.0, seconds_left=100.0), 3, 27)
    assert budget is not None
    assert (budget.own_total, budget.own, budget.share, budget.left) == (100, 50, 50, 50)
    hours = budget_of(paused(10, 5, train_seconds=200.0), 3, 27)
    assert hours is not None
    assert (hours.total, hours.free, hours.n_workers) == (100, 85, 1)  # 15 steps are done


def test_before_a_step_was_measured_time_says_nothing() -> None:
    history = history_of(Curve(0.5, falling(0.1, 3)))
    assert budget_of(history.allowed(Allowance(run_seconds=9.0, seconds_left=9.0)), 3, 27) is None


def test_the_tightest_limit_counts() -> None:
    wide: dict[str, Any] = {"steps": 500, "train_seconds": 9000.0, "run_seconds": 9000.0, "seconds_left": 9000.0}
    for name, value, share in (("steps", 40, 25), ("train_seconds", 60.0, 15), ("seconds_left", 24.0, 12)):
        budget = budget_of(paused(10, 5, **{**wide, name: value}), 3, 27)
        assert budget is not None
        assert budget.share == share


def test_trials_that_there_is_no_time_for_are_not_waited_for() -> None:
    plenty = budget_of(paused(3, 3, trials=60, run_seconds=9000.0, seconds_left=9000.0), 3, 27)
    tight = budget_of(paused(3, 3, trials=60, run_seconds=9000.0, seconds_left=60.0), 3, 27)
    assert plenty is not None
    assert tight is not None
    assert (plenty.n_to_start, plenty.is_closing) == (58, False)
    assert (tight.n_to_start, tight.is_closing) == (0, True)


def test_each_trial_gets_as_far_as_its_own_pace_allows() -> None:
    history = paused(4, 4, notes={1: {"step_seconds": 8.0}}, run_seconds=100.0, seconds_left=25.0)
    data, costs = known(history)
    assert costs.step_seconds == 5.0
    budget = budget_of(history, 3, 27)
    assert horizons(data, np.array([0, 1]), budget, costs).tolist() == [4 + 12, 4 + 3]
    assert horizons(data, np.array([0, 1]), None, costs).tolist() == [27, 27]


# ------------------------------------------------------------------------------------------------------------ slices


def test_a_slice_is_worth_its_pause() -> None:
    dear = {0: {"save_seconds": 1.0, "restore_seconds": 1.0}}
    data, costs = known(paused(12, 12, notes=dear))
    assert least(0, 12, 3, costs) == 16  # 10 pauses of 2 s are 10 steps, and the next power of two
    assert next_slice(data, 0, None, 3, costs) == Resume(number=0, until=None)
    assert next_slice(data, 0, None, 3, FREE) == Resume(number=0, until=15)


def test_a_slice_is_no_longer_than_halvings_however_dear_a_pause_is() -> None:
    data, costs = known(paused(4, 12, notes={0: {"save_seconds": 500.0}}))
    assert next_slice(data, 0, None, 3, costs) == Resume(number=0, until=12)


def test_cheap_pauses_change_nothing() -> None:
    data, costs = known(paused(12, 4, notes={0: {"save_seconds": 0.01, "restore_seconds": 0.01}}))
    assert next_slice(data, 0, None, 3, costs) == next_slice(data, 0, None, 3, FREE)


# -------------------------------------------------------------------------------------------------------------- ties


def choice(history: History, *scores: float) -> int:
    data, costs = known(history)
    return picked(history, data, np.arange(len(scores)), np.array(scores), costs)


def test_a_checkpoint_at_hand_is_worth_a_tenth() -> None:
    far = {1: {"worker": "far:1:b"}}
    assert choice(paused(9, 9, notes=far, worker="near:2:c"), np.log(0.95), 0.0) == 0
    assert choice(paused(9, 9, notes=far, worker="near:2:c"), np.log(0.85), 0.0) == 1
    assert choice(paused(9, 9, notes=far, worker="far:2:c"), np.log(0.95), 0.0) == 1
    assert choice(paused(9, 9, notes=far), np.log(0.95), 0.0) == 1  # nobody in particular asks


def test_of_equals_the_one_that_is_nearest_to_its_end_in_time_goes_on() -> None:
    dear = {0: {"step_seconds": 20.0}, 1: {"step_seconds": 20.0}}
    assert choice(paused(3, 21, notes=dear), 0.0, np.log(0.995)) == 1
    assert choice(paused(3, 21, notes=dear), 0.0, np.log(0.98)) == 0
    slow = {**dear, 1: {"step_seconds": 160.0}}
    assert choice(paused(3, 21, notes=slow), 0.0, np.log(0.995)) == 0
    assert choice(paused(12, 13, notes=dear), 0.0, np.log(0.995)) == 0  # about as near
    assert choice(paused(3, 21), 0.0, np.log(0.995)) == 0  # within a minute: measured times decide nothing


# ------------------------------------------------------------------------------------------------------- finishing


def chance(history: History) -> Resume | None:
    data, costs = known(history)
    return last_chance(history, data, budget_of(history, 3, 27, costs), 3, costs)


def test_the_best_that_can_still_finish_is_finished_in_time() -> None:
    limit: dict[str, Any] = {"run_seconds": 200.0}
    assert chance(paused(9, 9, seconds_left=80.0, **limit)) is None  # 18 steps are missing, 40 left
    assert chance(paused(9, 9, seconds_left=44.0, **limit)) == Resume(number=0)
    assert chance(paused(9, 9, seconds_left=30.0, **limit)) is None  # too late
    assert chance(paused(3, 9, seconds_left=44.0, **limit)) == Resume(number=1)  # the better one is too far behind
    slow = {0: {"step_seconds": 3.0}}
    assert chance(paused(9, 9, notes=slow, seconds_left=44.0, **limit)) == Resume(number=1)


def test_there_is_no_hurry_where_one_is_finished_or_on_its_way() -> None:
    history = paused(9, 9, run_seconds=200.0, seconds_left=44.0)
    for state, until in ((State.COMPLETE, None), (State.RUNNING, 27)):
        values = (0.5,) if state is State.COMPLETE else None
        record = replace(history[1], state=state, until=until, values=values, reports=())
        assert chance(history.extend(Delta(revision=3, trials=(record,)))) is None


def test_a_number_of_trials_alone_makes_no_hurry() -> None:
    assert chance(paused(9, 9, trials=2)) is None
