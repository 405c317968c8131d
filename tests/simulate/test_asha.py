"""ASHA in the simulator against the loop of its paper, and at the size that it is made for."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from honed.records import State
from honed.samplers.random import Random
from honed.schedulers.asha import ASHA
from honed.testing.simulate import power_law, simulate
from tests.simulate.policies import Counting, listed


def asha_by_hand(curves: list[list[float]], rungs: list[int], eta: int, budget: int) -> list[tuple[int, int]]:
    """(trial, step) in the order in which one worker trains them; Li et al. 2020, algorithm 2."""
    ends = [*rungs, len(curves[0])]
    at_rung: list[list[int]] = [[] for _ in ends]
    trained: list[tuple[int, int]] = []
    n_started = 0
    while len(trained) < budget:
        for k in reversed(range(len(rungs))):
            best = sorted(at_rung[k], key=lambda n: (min(curves[n][: ends[k]]), n))[: len(at_rung[k]) // eta]
            waiting = [n for n in best if n not in at_rung[k + 1]]
            if waiting:
                number, first, target = waiting[0], ends[k], k + 1
                break
        else:
            number, first, target = n_started, 0, 0
            n_started += 1
        trained += [(number, step) for step in range(first + 1, ends[target] + 1)]
        at_rung[target].append(number)
    return trained[:budget]


@pytest.mark.parametrize(("eta", "first", "total"), [(3, 3, 52), (2, 1, 10), (4, 5, 30)])
def test_one_worker_does_what_the_paper_says(eta: int, first: int, total: int):
    rng = np.random.default_rng(7)
    curves = np.cumsum(rng.normal(-0.05, 0.3, (2_000, total)), axis=1).tolist()
    scheduler = ASHA(reduction_factor=eta, min_steps=first, max_steps=total)
    trace = simulate(listed(*curves), Counting(), scheduler, budget_steps=1_500)
    played = list(zip(trace.numbers.tolist(), trace.steps.tolist(), strict=True))
    assert played == asha_by_hand(curves, list(scheduler.rungs(total)), eta, 1_500)
    assert trace.n_repeated == 0


def test_restarting_costs_what_resuming_saves():
    scheduler = ASHA(min_steps=3, max_steps=27)
    resumed = simulate(power_law(), Random(), scheduler, n_trials=90)
    restarted = simulate(power_law(), Random(), scheduler, n_trials=90, resume=False)
    assert restarted.best[-1] == resumed.best[-1]
    climbs = [event for event in resumed.events if event.kind == "resume"]
    assert restarted.n_steps - resumed.n_steps == sum(event.step for event in climbs) > 0
    assert restarted.n_repeated == restarted.n_steps - resumed.n_steps


def play(n_trials: int) -> None:
    total = 52
    trace = simulate(power_law(total_steps=total), Random(), ASHA(max_steps=total), n_workers=8, n_trials=n_trials)
    steps = [3, 9, 27, 52]
    counts = [sum((record.last_step or 0) >= step for record in trace.history) for step in steps]
    assert counts[0] == n_trials == len(trace.history)
    for below, above in itertools.pairwise(counts):
        assert below // 3 <= above <= 1.25 * below / 3  # who looked good early was promoted too, and stays so
    assert trace.n_steps == sum(n * new for n, new in zip(counts, np.diff([0, *steps]).tolist(), strict=True))
    assert trace.n_repeated == 0
    assert trace.most_running == 8
    assert trace.history.count(State.COMPLETE) == counts[3]


def test_a_thousand_trials():
    play(1_000)


@pytest.mark.soak
def test_ten_thousand_trials():
    play(10_000)
