"""Trainings of different lengths: cut off at different steps, stretched by their schedules, made longer or shorter later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import honed
from honed.domains import Float, Int
from honed.events import Notice
from honed.freeze_thaw import FreezeThaw
from honed.freeze_thaw.candidates import leaders
from honed.freeze_thaw.insight import Insight
from honed.freeze_thaw.insurance import promotion
from honed.freeze_thaw.model import model_of
from honed.freeze_thaw.new import scores_of_new
from honed.freeze_thaw.seen import seen
from honed.history import History
from honed.records import Delta, Resume, Start, State, Suggestion
from honed.samplers.base import Stream
from honed.space import Space
from tests.freeze_thaw.built import Curve, falling, history_of

PLAIN = FreezeThaw(insurance=0.0)


def some(n: int = 12, **more: object) -> list[Curve]:
    return [Curve((i + 0.5) / n, falling(0.2 + 0.05 * i, 6), **more) for i in range(n)]  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------ cut off


def test_a_trial_is_judged_at_its_own_end() -> None:
    """Two trainings that have been the same so far; one has three more steps to come, the other 75."""
    curves = [replace(c, values=falling(0.2 + 0.05 * i, 81 if i % 3 else 6), n_steps=81) for i, c in enumerate(some())]
    curves[0] = Curve(0.04, falling(0.2, 6), n_steps=9)
    curves[1] = Curve(0.05, falling(0.2, 6), n_steps=81)
    data = seen(history_of(*curves), None)
    assert data.totals[:3].tolist() == [9, 81, 81]
    assert data.full == 81
    model = model_of(data)
    assert model is not None
    short, long = model.means(np.array([0, 1]), data.totals[:2])
    at_equal = model.means(np.array([0, 1]), np.array([9, 9]))
    assert at_equal[0] == pytest.approx(at_equal[1], abs=0.05)  # a step means the same in both
    assert long < short - 0.05
    insight = Insight.of(history_of(*curves))
    assert insight is not None
    finals = insight.finals(np.array([0, 1])).median
    assert finals[1] < finals[0]


def test_leaders_are_those_that_deliver_most_at_their_own_ends() -> None:
    curves = some()
    curves[0] = Curve(0.1, falling(0.1, 9), State.COMPLETE, n_steps=9)
    data = seen(history_of(*curves), None)
    assert data.totals[0] == 9
    model = model_of(data)
    assert model is not None
    assert leaders(data, model).shape == (5, 2)


def test_new_trainings_are_expected_to_be_as_long_as_the_latest() -> None:
    curves = [replace(curve, n_steps=81 if i < 2 else 27) for i, curve in enumerate(some())]
    data = seen(history_of(*curves), None)
    assert (data.full, data.usual) == (81, 27)
    assert PLAIN.next(history_of(*curves[:4])) == Start(until=5)  # a twentieth of 81, and later of 27
    assert PLAIN.next(history_of(*curves[:7])) == Start(until=3)


def test_a_parameter_that_is_the_length_is_known_for_new_configurations() -> None:
    space = Space(x=Float(0.0, 1.0), epochs=Int(9, 81))
    history = epochs_history(space, None)
    data = seen(history, None)
    assert data.length == 1
    model = model_of(data)
    assert model is not None
    xs = np.array(
        [[0.3, space["epochs"].encode(9)], [0.3, space["epochs"].encode(27)], [0.3, space["epochs"].encode(81)]]
    )
    assert data.lengths_at(xs).tolist() == [9, 27, 81]
    scores = scores_of_new(data, model).full(xs)
    assert scores[0] < scores[1] < scores[2]  # all curves fall: who trains longer gets lower
    most = scores_of_new(data, model, 9).full(xs)
    assert np.ptp(most) < np.ptp(scores)  # with nine steps nobody gets farther
    answer = PLAIN.suggest(history, space, Stream(0, 12), {})
    assert isinstance(answer, Suggestion)
    assert set(answer.params) == {"x", "epochs"}


def epochs_history(space: Space, schedule: str | None) -> History:
    lengths = [9, 27, 81]
    curves = [
        Curve((i * 5 % 12 + 0.5) / 12, falling(0.2 + 0.05 * (i * 5 % 12), 6), n_steps=lengths[i % 3], schedule=schedule)
        for i in range(12)
    ]
    history = history_of(*curves)
    return _with_params(history, space, [{"x": c.x, "epochs": c.n_steps} for c in curves])


def _with_params(history: History, space: Space, params: list[dict[str, object]]) -> History:
    records = [
        replace(record, params=p, domains=dict(space.domains), reports=())
        for record, p in zip(history, params, strict=True)
    ]
    reports = tuple(report for record in history for report in record.reports)
    study = replace(history.study, space=space.to_json())
    return History.empty(study, space).extend(Delta(revision=1, trials=tuple(records), reports=reports))


# ---------------------------------------------------------------------------------------------------- stretched


def test_stretched_trainings_are_compared_at_equal_shares() -> None:
    curves = [replace(c, n_steps=(12, 24, 48)[i % 3], schedule="cosine") for i, c in enumerate(some())]
    data = seen(history_of(*curves), None)
    rows = np.array([0, 1, 2])
    assert data.times.of(rows, np.array([12, 24, 48])) == pytest.approx(np.ones(3))
    half = data.times.of(rows, np.array([6, 12, 24]))
    assert np.ptp(half) < 0.06
    plain = seen(history_of(*[replace(c, schedule=None) for c in curves]), None)
    assert np.ptp(plain.times.of(rows, np.array([6, 12, 24]))) > 0.3


def test_the_length_of_stretched_trainings_is_seen_beside_the_params() -> None:
    curves = [replace(c, n_steps=(9, 81)[i % 2], schedule="cosine") for i, c in enumerate(some())]
    history = history_of(*curves)
    data = seen(history, None)
    assert data.xs.shape[1] == 3
    assert data.xs[:2, 2].tolist() == pytest.approx([0.0, 1.0])
    assert data.fixed[2] == data.xs[1, 2]  # the middle of the last eight, the upper one of two
    answer = PLAIN.suggest(history, history.space, Stream(0, 12), {})
    assert isinstance(answer, Suggestion)
    assert set(answer.params) == {"x", "y"}
    alone = PLAIN.suggest(history, Space(x=history.space["x"]), Stream(0, 12), {"y": 0.5})
    assert isinstance(alone, Suggestion)
    assert set(alone.params) == {"x"}
    assert seen(history_of(*some(schedule="cosine")), None).xs.shape[1] == 2  # all of one length


def test_a_parameter_that_is_the_length_needs_no_other_column() -> None:
    space = Space(x=Float(0.0, 1.0), epochs=Int(9, 81))
    data = seen(epochs_history(space, "linear"), None)
    assert data.xs.shape[1] == 2
    assert data.length == 1


def test_a_short_stretched_training_that_is_near_its_end_looks_better_than_a_long_one_that_has_begun() -> None:
    """At equal steps the short one is ahead because its learning rates are low already; the model knows that."""

    def value(level: float, share: float) -> float:
        return level + 0.6 * (1.0 - share**2)

    curves = []
    for i in range(16):
        length, level, done = (10, 40)[i % 2], 0.05 * i, (10, 12)[i % 2]
        values = [value(level, (t + 1) / length) for t in range(done)]
        state = State.COMPLETE if done == length else State.PAUSED
        curves.append(Curve((i + 0.5) / 16, values, state, n_steps=length, schedule="cosine"))
    insight = Insight.of(history_of(*curves))
    assert insight is not None
    finals = insight.finals(np.array([1, 3])).median
    assert finals[0] < 0.35  # it is at .6 now, and nobody has ever seen a long one end


def test_promotions_compare_stretched_trainings_at_equal_shares() -> None:
    """Nine trainings of two lengths; the best at a ninth of its length goes on to a third of it."""
    curves = [Curve(i / 9, falling(0.3 + 0.01 * i, 3), n_steps=27, schedule="cosine") for i in range(8)]
    curves.append(Curve(0.95, [0.9] * 8 + [0.05], n_steps=81, schedule="cosine"))
    history = history_of(*curves)
    move = promotion(history, seen(history, None), 9)
    assert move == Resume(number=8, until=27)
    short = [*curves[:8], Curve(0.95, [0.9] * 9, n_steps=81, schedule="cosine")]
    assert promotion(history_of(*short), seen(history_of(*short), None), 9) == Resume(number=0, until=9)


# ----------------------------------------------------------------------------------------- made longer, or shorter


def test_paused_trials_are_longer_once_one_has_said_so() -> None:
    curves = [
        *some(4),
        Curve(0.9, falling(0.3, 27), State.COMPLETE),
        Curve(0.8, falling(0.2, 9), n_steps=81, before=27),
    ]
    data = seen(history_of(*curves), None)
    assert data.totals.tolist() == [81, 81, 81, 81, 27, 81]
    assert data.paused.tolist() == [0, 1, 2, 3, 5]
    assert data.usual == 81
    assert data.granted(0, 27) == Resume(number=0, until=27)
    before = seen(history_of(*curves[:5], Curve(0.8, falling(0.2, 9), n_steps=81)), None)
    assert before.totals.tolist() == [27, 27, 27, 27, 27, 81]
    assert before.granted(0, 27) == Resume(number=0, until=27)  # which may be the end, or not


def test_a_trial_beyond_an_end_that_was_moved_need_only_say_so() -> None:
    curves = [Curve(0.1 * i, falling(0.3 + 0.1 * i, 20), n_steps=81) for i in range(9)]
    curves[4] = replace(curves[4], n_steps=18, before=81, state=State.COMPLETE)
    curves[7] = replace(curves[7], values=falling(0.3, 10))
    history = history_of(*curves)
    data = seen(history, None)
    assert data.over.tolist() == [0, 1, 2, 3, 5, 6, 8]
    assert data.paused.tolist() == [7]
    assert PLAIN.next(history) == Resume(number=0, until=None)


def test_there_and_back_again_is_taken_as_it_was_said() -> None:
    curves = [*some(3), Curve(0.8, falling(0.2, 9), n_steps=81, before=27), Curve(0.7, falling(0.2, 9), before=81)]
    assert seen(history_of(*curves), None).totals.tolist() == [27, 27, 27, 81, 27]


def bowl(n: int, schedule: str | None = None) -> Callable[[honed.Trial], None]:
    def objective(trial: honed.Trial) -> None:
        x = trial.suggest_float("x", 0, 1)
        state = np.random.default_rng(trial.number)
        trial.track(state=state)
        for epoch in trial.steps(n, schedule=schedule):
            state.random()
            trial.report((x - 0.3) ** 2 + 1 / epoch)

    return objective


def test_a_study_goes_on_with_longer_trainings(tmp_path: Path) -> None:
    study = honed.create_study("s", storage=tmp_path / "s.db", seed=1, durability="fast")
    study.optimize(bowl(27), "freeze-thaw", total_steps=5 * 27, progress="quiet")
    before = {record.number: record for record in study.trials}
    assert any(record.state is State.COMPLETE for record in before.values())
    study.optimize(bowl(81), "freeze-thaw", total_steps=5 * 27 + 5 * 81, progress="quiet")
    after = study.trials
    for record in after:
        assert [report.step for report in record.reports] == list(range(1, len(record.reports) + 1))
        if record.number in before and before[record.number].state is State.COMPLETE:
            assert record == before[record.number]
    assert max(len(record.reports) for record in after) == 81
    resumed = [r for r in after if r.number in before and len(r.reports) > len(before[r.number].reports)]
    assert resumed
    assert study.best_trial.value is not None
    assert study.best_trial.value < 1 / 60  # which no training of 27 steps reaches


def test_a_study_goes_on_with_shorter_trainings(tmp_path: Path) -> None:
    study = honed.create_study("s", storage=tmp_path / "s.db", seed=1, durability="fast")
    study.optimize(bowl(81), "freeze-thaw", total_steps=3 * 81, progress="quiet")
    beyond = [r.number for r in study.trials if r.state is State.PAUSED and len(r.reports) >= 18]
    study.optimize(bowl(18), "freeze-thaw", total_steps=3 * 81 + 4 * 18, progress="quiet")
    after = study.trials
    assert all(after[number].state is State.COMPLETE for number in beyond)
    assert all(r.state is not State.PAUSED or len(r.reports) < 18 for r in after)
    assert any(r.state is State.COMPLETE and len(r.reports) == 18 for r in after)


def test_a_stretched_schedule_that_changes_its_length_is_said(tmp_path: Path) -> None:
    study = honed.create_study("s", storage=tmp_path / "s.db", seed=1, durability="fast")
    study.optimize(bowl(27, "cosine"), "freeze-thaw", total_steps=4 * 27, progress="quiet")
    assert all(record.note["schedule"] == "cosine" for record in study.trials)
    told = list[str]()
    study.optimize(
        bowl(81, "cosine"), "freeze-thaw", total_steps=4 * 27 + 2 * 81, progress="quiet",
        on_event=lambda event: told.append(event.text) if isinstance(event, Notice) else None,
    )  # fmt: skip
    changed = [text for text in told if "was to have 27 steps and has 81 from now on" in text]
    assert changed
    assert "followed the learning rates of 27: judge it with care" in changed[0]
    assert any(record.note.get("n_steps_before") == 27 for record in study.trials)
