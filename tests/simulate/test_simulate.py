"""The simulator against studies whose course is known by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from honed.domains import Categorical, Float
from honed.records import Cause, Decision, Resume, Start, State, Wait
from honed.samplers.random import Random
from honed.schedulers.base import Move
from honed.schedulers.full import Full
from honed.space import Space
from honed.testing.simulate import CurveTask, Faults, Task, normalised_regret, power_law, simulate
from tests.simulate.policies import CURVES, Counting, Scripted, Two, listed


def test_resume_pays_only_the_new_steps():
    trace = simulate(listed(*CURVES), Counting(), Two(), budget_steps=100)
    assert trace.steps_of == {0: 2, 1: 4, 2: 2}
    assert trace.n_steps == 8
    assert trace.n_repeated == 0
    assert trace.numbers.tolist() == [0, 0, 1, 1, 2, 2, 1, 1]
    assert trace.steps.tolist() == [1, 2, 1, 2, 1, 2, 3, 4]
    assert trace.best.tolist() == [9, 8, 5, 4.5, 4.5, 4.5, 4, 3]
    assert trace.history[1].state is State.COMPLETE
    assert trace.history[1].value == 3.0
    assert trace.history[1].attempt == 2
    assert trace.reason == "the scheduler waits: the others"


def test_restart_pays_again():
    trace = simulate(listed(*CURVES), Counting(), Two(), budget_steps=100, resume=False)
    assert trace.steps_of == {0: 2, 1: 6, 2: 2}
    assert trace.n_repeated == 2
    assert trace.best.tolist() == [9, 8, 5, 4.5, 4.5, 4.5, 4.5, 4.5, 4, 3]
    assert [report.step for report in trace.history[1].reports] == [1, 2, 3, 4]


def test_best_after_a_cost_and_at_a_time():
    trace = simulate(listed(*CURVES, seconds=[1.0, 10.0, 2.0]), Counting(), Full(), n_workers=2, n_trials=3)
    # worker 0: trial 0 until 4 s, trial 2 from 4 to 12 s; worker 1: trial 1 until 40 s
    assert trace.seconds.tolist() == [1, 2, 3, 4, 6, 8, 10, 10, 12, 20, 30, 40]
    assert trace.numbers.tolist() == [0, 0, 0, 0, 2, 2, 1, 2, 2, 1, 1, 1]
    assert trace.best_after(0) == math.inf
    assert trace.best_after(4) == 6.0
    assert trace.best_after(8.9) == 2.0
    assert trace.best_after(1000) == 1.0
    assert [trace.best_at(t) for t in (0.5, 4.0, 10.0, 12.0)] == [math.inf, 6.0, 2.0, 1.0]


@pytest.mark.parametrize("n_workers", [1, 3, 8])
@pytest.mark.parametrize("budget", [1, 7, 200])
def test_workers_and_budget_are_never_exceeded(n_workers: int, budget: int):
    task = listed(*CURVES, seconds=[1.0, 3.0, 0.5])
    trace = simulate(task, Counting(), Full(), n_workers=n_workers, budget_steps=budget)
    assert trace.n_steps == budget
    assert trace.most_running <= n_workers
    begun = trace.seconds - np.array([task.seconds({"x": n}) for n in trace.numbers.tolist()])
    for moment in np.concatenate([trace.seconds - 1e-6, begun + 1e-6]):
        assert np.sum((begun < moment) & (moment < trace.seconds)) <= n_workers
    if budget == 200:
        assert trace.most_running == n_workers


def test_same_arguments_same_trace():
    def play(seed: int):
        faults = Faults(kill=0.02, fail=0.01)
        return simulate(power_law(noise=0.1), Random(), Full(), n_workers=4, budget_steps=500, seed=seed, faults=faults)

    first, second, other = play(1), play(1), play(2)
    for name in ("seconds", "numbers", "steps", "losses"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert first.events == second.events
    assert list(first.history) == list(second.history)
    assert not np.array_equal(first.losses, other.losses)


def test_a_decision_pauses_stops_and_comes_too_late():
    decisions = {(0, 2): Decision.PAUSE, (1, 1): Decision.STOP, (2, 4): Decision.STOP}
    moves: list[Move] = [Start(), Start(), Start(), Wait()]
    trace = simulate(listed(*CURVES), Counting(), Scripted(moves, decisions), budget_steps=100)
    states = [record.state for record in trace.history]
    assert states == [State.PAUSED, State.STOPPED, State.COMPLETE]
    assert trace.steps_of == {0: 2, 1: 1, 2: 4}
    assert trace.history[1].value == 5.0
    assert [event.kind for event in trace.events] == ["start", "pause", "start", "stop", "start", "complete"]


def test_reports_every_few_steps_and_at_the_grant():
    trace = simulate(listed([6.0, 5, 4, 3, 2, 1, 0]), Counting(), Full(), n_trials=1, report_every=3)
    assert [report.step for report in trace.history[0].reports] == [3, 6, 7]
    assert np.isnan(trace.losses).tolist() == [True, True, False, True, True, False, False]
    assert trace.best.tolist() == [math.inf, math.inf, 4, 4, 4, 1, 0]


def test_a_diverged_training_has_failed():
    trace = simulate(listed([3.0, math.nan, math.nan]), Counting(), Full(), budget_steps=4)
    assert trace.history[0].state is State.FAILED
    assert trace.history[0].cause is Cause.INFEASIBLE
    assert trace.steps_of == {0: 2, 1: 2}
    assert trace.best.tolist() == [3, 3, 3, 3]


def test_a_killed_worker_costs_the_steps_since_the_checkpoint():
    faults = Faults(planned={(0, 4): "kill"}, checkpoint_every=2)
    trace = simulate(listed([6.0, 5, 4, 3, 2]), Counting(), Full(), n_trials=1, faults=faults)
    assert trace.steps.tolist() == [1, 2, 3, 4, 3, 4, 5]
    assert trace.n_repeated == 2
    assert trace.history[0].attempt == 2
    assert trace.history[0].state is State.COMPLETE
    assert [event.kind for event in trace.events] == ["start", "lost", "reclaim", "complete"]


def test_without_resume_a_killed_training_begins_again():
    faults = Faults(planned={(0, 3): "kill"})
    trace = simulate(listed([6.0, 5, 4]), Counting(), Full(), n_trials=1, faults=faults, resume=False)
    assert trace.steps.tolist() == [1, 2, 3, 1, 2, 3]


def test_after_three_deaths_a_trial_is_given_up():
    trace = simulate(listed([6.0, 5, 4]), Counting(), Full(), budget_steps=6, faults=Faults(kill=1.0))
    assert trace.history[0].state is State.FAILED
    assert trace.history[0].cause is Cause.LOST
    assert trace.steps_of == {0: 3, 1: 3}


def test_failed_trials_do_not_count():
    faults = Faults(planned={(0, 1): "fail", (2, 2): "fail"})
    trace = simulate(listed(*CURVES), Counting(), Full(), n_trials=3, faults=faults)
    assert [record.state for record in trace.history].count(State.COMPLETE) == 3
    assert len(trace.history) == 5
    assert trace.history[2].cause is Cause.ERROR


def test_thirty_kills_leave_no_gap():
    trace = simulate(
        power_law(), Random(), Full(), n_workers=8, n_trials=200, faults=Faults(kill=0.006, checkpoint_every=3)
    )
    n_lost = sum(event.kind == "lost" for event in trace.events)
    assert n_lost >= 25
    assert trace.n_repeated <= 3 * n_lost
    for record in trace.history.finished:
        if record.state is State.COMPLETE:
            assert [report.step for report in record.reports] == list(range(1, 28))


def test_a_child_starts_where_its_parent_is():
    moves: list[Move] = [Start(until=2), Start(parent=0, params={"x": 1}), Wait()]
    trace = simulate(listed(*CURVES), Counting(), Scripted(moves), budget_steps=100)
    assert trace.steps_of == {0: 2, 1: 2}
    assert trace.losses.tolist() == [9, 8, 4, 3]
    assert trace.history[1].parent == 0


def test_what_a_suggestion_leaves_out_is_asked():
    space = Space(kind=Categorical(["a", "b"]), x=Float(0, 1), only_b=Float(0, 1).when(kind="b"))
    task = CurveTask(name="conditional", space=space, total_steps=1, losses=lambda params, rng: [float(len(params))])
    moves: list[Move] = [Start(params={"kind": "a"}), Start(params={"kind": "b"}), Wait()]
    trace = simulate(task, Random(), Scripted(moves), budget_steps=9)
    assert trace.losses.tolist() == [2, 3]
    assert trace.history.space == space


@pytest.mark.parametrize(
    ("moves", "words"),
    [
        ([Start(until=0)], "trial 0 is at step 0 and was granted step 0"),
        ([Start(until=2), Resume(number=0, until=2)], "trial 0 is at step 2 and was granted step 2"),
        ([Start(), Resume(number=0)], "resumes trial 0, which is complete"),
        ([Start(parent=7)], "trial 7, which does not exist"),
    ],
)
@pytest.mark.parametrize("resume", [True, False])
def test_a_move_that_cannot_be_is_refused(moves, words: str, resume: bool):
    with pytest.raises(ValueError, match=words):
        simulate(listed(*CURVES), Counting(), Scripted(moves), budget_steps=100, resume=resume)


def test_arguments_are_checked():
    task = power_law()
    with pytest.raises(ValueError, match="n_workers=0"):
        simulate(task, Random(), Full(), n_workers=0, n_trials=1)
    with pytest.raises(ValueError, match="report_every=0"):
        simulate(task, Random(), Full(), report_every=0, n_trials=1)
    with pytest.raises(ValueError, match="never end"):
        simulate(task, Random(), Full())
    with pytest.raises(ValueError, match="probabilities"):
        Faults(fail=0.6, kill=0.6)
    with pytest.raises(ValueError, match="checkpoint_every=0"):
        Faults(checkpoint_every=0)


def test_regret_runs_from_the_optimum_to_the_reference():
    task = power_law(total_steps=10)
    assert isinstance(task, Task)
    assert normalised_regret(task, task.optimum) == 0.0
    assert normalised_regret(task, (task.optimum + task.reference) / 2) == pytest.approx(0.5)
    assert normalised_regret(task, 7.0) == normalised_regret(task, math.inf) == normalised_regret(task, math.nan) == 1.0


def test_the_power_law_is_lowest_where_it_says():
    task = power_law(n_params=3, total_steps=20)
    simulated = simulate(task, Random(), Full(), budget_steps=2_000)
    assert task.optimum == pytest.approx(20**-0.4)
    assert simulated.best[-1] > task.optimum
    best = simulate(task, Random(), Scripted([Start(params={f"x{i}": 0.3 for i in range(3)}), Wait()]), budget_steps=20)
    assert best.best[-1] == pytest.approx(task.optimum)
