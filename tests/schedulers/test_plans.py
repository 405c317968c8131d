"""Plans against the theory, and studies against plans."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from honed.records import State
from honed.schedulers.additive import AdditiveHalving
from honed.schedulers.asha import ASHA
from honed.schedulers.halving import SuccessiveHalving
from honed.schedulers.hyperband import Hyperband
from honed.testing.scheduler_driver import Chaos, Workers
from honed.testing.scheduler_suite import falling


def table(plan):
    return [(rung.step, rung.n_trials, rung.n_steps) for rung in plan.rungs]


def test_the_lecture_many_for_two_epochs_the_chosen_for_two_more():
    deck = AdditiveHalving(n_trials=27, first=2, more=2, keep=1 / 3, finish=False)
    assert table(deck.plan(27)) == [(2, 27, 54), (4, 9, 18), (6, 3, 6), (8, 1, 2)]
    assert deck.plan(27).n_steps == sum(n * 2 for n in (27, 9, 3, 1))
    finished = AdditiveHalving(n_trials=27)
    assert table(finished.plan(27)) == [(2, 27, 54), (4, 9, 18), (6, 3, 6), (8, 1, 2), (27, 1, 19)]
    assert table(finished.plan(5)) == [(2, 27, 54), (4, 9, 18), (5, 3, 3)]
    assert table(finished.plan(1)) == [(1, 27, 27)]
    assert table(AdditiveHalving(n_trials=8, keep=0.5, rungs=[1, 4]).plan(9)) == [(1, 8, 8), (4, 4, 12), (9, 2, 10)]


@pytest.mark.parametrize("n_workers", [1, 8])
def test_the_lecture_is_played_as_planned(n_workers):
    deck = AdditiveHalving(n_trials=27, finish=False)
    workers = Workers(deck, falling, 27, n_workers, 27)
    workers.run()
    assert len(workers.steps) == deck.plan(27).n_steps == 80
    assert Counter(r.until for r in workers.history) == {2: 18, 4: 6, 6: 2, 8: 1}
    ranked = sorted(range(27), key=lambda n: falling(n, 2))
    assert {r.number for r in workers.history if r.until and r.until > 2} == set(ranked[:9])


def test_halving_and_hyperband_add_up():
    assert table(SuccessiveHalving(min_steps=1).plan(27)) == [(1, 27, 27), (3, 9, 18), (9, 3, 18), (27, 1, 18)]
    plan = Hyperband().plan(81)
    assert [(r.bracket, r.step, r.n_trials) for r in plan.rungs[5:9]] == [
        (3, 3, 34),
        (3, 9, 11),
        (3, 27, 3),
        (3, 81, 1),
    ]
    assert plan.n_trials == 81 + 34 + 15 + 8 + 5
    assert plan.n_full == 1 + 1 + 1 + 2 + 5
    assert plan.n_steps == sum(r.n_steps for r in plan.rungs) == 1581
    assert plan.n_steps_restarting > plan.n_steps
    assert "143 trials, 1,581 steps of 11,583 (14%)" in str(plan)


@pytest.mark.parametrize("n_workers", [1, 7])
def test_hyperband_is_played_as_planned(n_workers):
    scheduler = Hyperband(max_steps=27)
    workers = Workers(scheduler, falling, 27, n_workers, 49, seed=5)
    workers.run()
    assert len(workers.steps) == scheduler.plan(27).n_steps
    begun = Counter(r.note["bracket"] for r in workers.history)
    assert begun == {3: 27, 2: 12, 1: 6, 0: 4}
    assert workers.history.count(State.COMPLETE) == 1 + 1 + 2 + 4
    assert workers.history.count(State.STOPPED) == 0


def test_a_failed_trial_is_replaced_before_the_first_rung_and_is_the_worst_later():
    scheduler = SuccessiveHalving(n_trials=9, min_steps=3)
    workers = Workers(scheduler, falling, 27, 4, 9, seed=1, chaos=Chaos(fail=0.03))
    workers.run()
    early = [r for r in workers.history if r.state is State.FAILED and not r.last_step]
    assert workers.history.count(State.FAILED)
    assert len(workers.history) == 9 + workers.history.count(State.FAILED)
    assert all(r.until == 3 for r in early)


def test_fewer_trials_than_a_bracket_are_halved_alike():
    workers = Workers(SuccessiveHalving(n_trials=27, min_steps=1), falling, 27, 4, 14)
    workers.run()
    assert Counter(r.until for r in workers.history) == {1: 10, 3: 3, None: 1}


@pytest.mark.parametrize("n_workers", [1, 8])
def test_asha_promotes_hardly_more_than_its_plan(n_workers):
    n = 200
    workers = Workers(ASHA(), falling, 27, n_workers, n)
    workers.run()
    plan = {rung.step: rung.n_trials for rung in ASHA().plan(n, 27).rungs}
    assert plan == {3: 200, 9: 66, 27: 22}
    reached = {step: len(workers.history.rung(step).numbers) for step in plan}
    for step, planned in plan.items():
        assert planned <= reached[step] <= planned + 2 * math.sqrt(n)
