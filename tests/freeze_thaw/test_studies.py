"""Whole studies in simulated time, any history at all, and the same answer however a history was read."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import numpy as np
from hypothesis import HealthCheck, given, settings

from honed.algorithms.curve_points import thinned
from honed.domains import Float, Scalar
from honed.freeze_thaw import FreezeThaw
from honed.freeze_thaw.model import refits
from honed.history import History
from honed.records import Delta, Exhausted, Resume, Start, State, Suggestion, Wait
from honed.samplers.base import Stream
from honed.samplers.random import Random
from honed.schedulers.asha import ASHA
from honed.space import Space
from honed.testing import strategies as honed_st
from honed.testing.simulate import CurveTask, Faults, power_law, simulate
from honed.testing.simulate.trace import Trace


def bowl(n_params: int, total_steps: int = 27) -> CurveTask:
    """Curves that fall to a level, a bowl in the params, at a speed that is another function of them."""
    steps = np.arange(1, total_steps + 1)

    def losses(params: Mapping[str, Scalar], rng: Stream) -> list[float]:
        x = np.array([float(str(value)) for value in params.values()])
        level, speed = float(((x - 0.3) ** 2).mean() / 0.49), 0.2 + 0.6 * float(x[0])
        return [float(value) for value in level + 0.5 * np.exp(-speed * steps)]

    space = Space({f"x{i}": Float(0.0, 1.0) for i in range(n_params)})
    return CurveTask(name="bowl", space=space, total_steps=total_steps, losses=losses)


def played(task: CurveTask, seed: int, budget: int, **more: object) -> Trace:
    policy = FreezeThaw()
    return simulate(task, policy, policy, seed=seed, budget_steps=budget, **more)  # type: ignore[arg-type]


def test_it_finds_more_than_asynchronous_halving_for_the_same_steps() -> None:
    task, budget = bowl(4), 5 * 27
    ours = [played(task, seed, budget).best_after(budget) for seed in range(8)]
    theirs = [simulate(task, Random(), ASHA(), seed=seed, budget_steps=budget).best_after(budget) for seed in range(8)]
    assert np.mean(ours) < 0.5 * np.mean(theirs)


def test_a_study_of_some_trials_starts_them_all_and_ends_with_a_full_training() -> None:
    policy, task = FreezeThaw(), power_law(2)
    trace = simulate(task, policy, policy, n_trials=16, n_workers=3)
    assert trace.history.n_counted == 16
    assert trace.history.count(State.COMPLETE) >= 1
    assert trace.n_steps <= 16 * 3 * (1 + 2 * 2 / 3) + 27
    assert trace.n_repeated == 0


def test_slices_grow_with_what_was_trained() -> None:
    trace = played(bowl(2, 81), 0, 3 * 81)
    reached: dict[int, int] = {}
    for event in trace.events:
        if event.kind == "resume" and event.until is not None:
            at = reached[event.number]
            grown = min(81, at + max(1, at // 4))
            assert event.until in {grown, 5, 15, 45, 81}, event  # the rungs are the insurance's
        reached[event.number] = event.step


def test_many_workers_train_different_trials() -> None:
    trace = played(power_law(2), 0, 5 * 27, n_workers=12)
    assert trace.most_running == 12
    places = {tuple(np.round([float(str(v)) for v in record.params.values()], 6)) for record in trace.history}
    assert len(places) == len(trace.history)


def test_diverging_trainings_and_dying_workers_are_survived() -> None:
    def losses(params: Mapping[str, Scalar], rng: Stream) -> list[float]:
        x = float(str(params["x"]))
        return [math.nan if x > 0.6 and step > 2 else 1.0 - x + 1.0 / step for step in range(1, 28)]

    # The first values promise most where all diverge: it may look there again and again, at three steps each, and no more.
    task = CurveTask(name="cliff", space=Space(x=Float(0.0, 1.0)), total_steps=27, losses=losses)
    shares, bests = [], []
    for seed in range(5):
        trace = played(task, seed, 5 * 27, n_workers=2, faults=Faults(kill=0.01))
        doomed = [record for record in trace.history if float(str(record.params["x"])) > 0.6]
        shares.append(sum(record.last_step or 0 for record in doomed) / trace.n_steps)
        bests.append(trace.best_after(5 * 27))
    assert np.mean(shares) < 0.45
    assert np.median(bests) < 0.5  # which no doomed training ever reports


def test_another_process_that_reads_all_at_once_decides_alike() -> None:
    policy = FreezeThaw()
    history = played(power_law(3), 3, 4 * 27, n_workers=2).history
    curves = history.curves()
    reports = [
        next(report for report in history[number].reports if report.step == step)
        for number, step in zip(curves.numbers.tolist(), curves.steps.tolist(), strict=True)
    ]
    bare = sorted((record.with_reports(()) for record in history), key=lambda record: record.state.is_finished)
    finished = {record.number: place for place, record in enumerate(history.finished)}
    bare.sort(key=lambda record: finished.get(record.number, -1))
    whole = Delta(revision=history.revision, trials=tuple(bare), reports=tuple(reports))
    again = History.empty(history.study, history.declared).extend(whole)
    assert policy.next(again) == policy.next(history)
    rng = Stream(history.study.seed, len(history))
    assert policy.suggest(again, again.space, rng, {}) == policy.suggest(history, history.space, rng, {})


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(honed_st.histories())
def test_any_history_is_answered(history: History) -> None:
    for policy in (FreezeThaw(), FreezeThaw(n_startup=1, insurance=0.0)):
        for seen in (history, history.limited(len(history) + 3), history.limited(None, 40)):
            move = policy.next(seen)
            assert isinstance(move, Start | Resume | Wait)
            if isinstance(move, Resume):
                record = history[move.number]
                assert record.state in (State.PAUSED, State.WAITING)
                assert move.until is None or move.until > (record.last_step or 0) or record.state is State.WAITING
        answer = policy.suggest(history, history.space, Stream(1, len(history)), {})
        assert isinstance(answer, Suggestion | Wait | Exhausted)
        json.dumps(dict(answer.note) if isinstance(answer, Suggestion) else {})


def test_refits_are_at_points_that_the_data_alone_set() -> None:
    assert refits(7) == []
    assert refits(30) == [8, 10, 13, 17, 22, 29]
    assert refits(29) == refits(30)
    assert len(thinned(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0))) == 0
